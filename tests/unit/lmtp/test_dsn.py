"""The report "delivered": what it says, and that it is only a courtesy."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from email.message import Message, MIMEPart

import pytest

from lmtp.commands import Mail, parse_rcpt
from lmtp.dsn import Reports, Row, report
from lmtp.reply import Reply
from lmtp.wire import Unstuffer
from tests.unit.lmtp.parts import Heard

HEADER = b"From: s@x.test\r\nSubject: h\xc3\xa4llo\r\n"
SAVED = Reply(250, (b"2.1.5 Saved",))


def rows(*arguments: str) -> list[Row]:
    """Rows of RCPT arguments."""
    return [Row(parse_rcpt(f"TO:{argument}", utf8=True), SAVED) for argument in arguments]


def parts(text: bytes) -> list[MIMEPart]:
    """The three parts of a report."""
    parsed = email.message_from_bytes(text, policy=email.policy.SMTPUTF8)
    assert not parsed.defects
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed.get_param("report-type") == "delivery-status"
    return list(parsed.iter_parts())


def groups(status: MIMEPart) -> list[dict[str, str]]:
    """The groups of fields of a delivery status."""
    payload = status.get_payload()
    assert isinstance(payload, list)
    return [dict(one.items()) for one in payload if isinstance(one, Message)]


def test_the_report_names_each_recipient_as_the_sender_did() -> None:
    text = report(
        Mail("s@x.test", envid="Q+3D1"),
        rows("<a@b.test> ORCPT=rfc822;team@b.test NOTIFY=SUCCESS", "<c@b.test> NOTIFY=SUCCESS"),
        HEADER,
        "mail.example.test",
    )
    human, status, header = parts(text)
    assert "<team@b.test>" in human.get_content()
    assert status.get_content_type() == "message/delivery-status"
    message, first, second = groups(status)
    assert message == {"Reporting-MTA": "dns; mail.example.test", "Original-Envelope-Id": "Q=1"}
    assert first == {
        "Original-Recipient": "rfc822;team@b.test",
        "Final-Recipient": "rfc822; a@b.test",
        "Action": "delivered",
        "Status": "2.1.5",
    }
    assert second["Final-Recipient"] == "rfc822; c@b.test"
    assert header.get_content_type() == "text/rfc822-headers"
    assert HEADER in text


def test_utf8_addresses_make_a_global_report() -> None:
    text = report(Mail("ü@x.test"), rows("<ä@b.test>"), HEADER, "mail.example.test")
    _human, status, header = parts(text)
    assert status.get_content_type() == "message/global-delivery-status"
    assert header.get_content_type() == "message/global-headers"
    assert "utf-8; ä@b.test".encode() in text


def test_nothing_of_a_recipient_breaks_out() -> None:
    evil = rows("<a@b.test> ORCPT=rfc822;a+0D+0AAction:+20failed@b.test")
    text = report(Mail("s@x.test", envid="+0D+0AX:y"), evil, HEADER, "mail.example.test")
    assert b"\r\nAction: failed" not in text
    assert b"\r\nX:y" not in text


class Port:
    """An SMTP server that takes one message, or says something else at `refuse`."""

    def __init__(self, refuse: str = "") -> None:
        self._refuse = refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.commands: list[str] = []
        self.text = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the end."""
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        connection, _peer = self._listener.accept()
        with connection, connection.makefile("rb") as file:
            connection.sendall(b"220 smtp\r\n")
            while line := file.readline().decode().rstrip():
                self.commands.append(line)
                if self._refuse and line.startswith(self._refuse):
                    connection.sendall(b"550 5.7.1 No\r\n")
                elif line != "DATA":
                    connection.sendall(b"250 OK\r\n")
                else:
                    connection.sendall(b"354 OK\r\n")
                    unstuffer = Unstuffer()
                    rest: bytes | None = None
                    while rest is None:
                        piece, rest = unstuffer.feed(file.readline())
                        self.text += piece
                    connection.sendall(b"250 OK\r\n" if self._refuse != "." else b"451 Later\r\n")


def test_it_goes_out_with_the_null_sender() -> None:
    port, log = Port(), Heard()
    mail = Mail("s@x.test")
    Reports(port.address, "mail.example.test", log).send(mail, rows("<a@b.test>"), HEADER)
    port.close()
    assert port.commands == [
        "EHLO mail.example.test",
        "MAIL FROM:<>",
        "RCPT TO:<s@x.test>",
        "DATA",
    ]
    assert len(parts(port.text)) == 3
    assert not log.lines


def test_it_says_smtputf8_where_it_has_to() -> None:
    port = Port()
    reports = Reports(port.address, "mail.example.test", Heard())
    reports.send(Mail("ü@x.test"), rows("<a@b.test>"), HEADER)
    port.close()
    assert port.commands[1:3] == ["MAIL FROM:<> SMTPUTF8", "RCPT TO:<ü@x.test>"]


@pytest.mark.parametrize("refuse", ["MAIL", "RCPT", "DATA", "."])
def test_a_report_that_is_refused_is_logged(refuse: str) -> None:
    port, log = Port(refuse), Heard()
    Reports(port.address, "mail.example.test", log).send(
        Mail("s@x.test"), rows("<a@b.test>"), HEADER
    )
    port.close()
    assert len(log.lines) == 1
    assert "s@x.test" in log.lines[0]


def test_a_server_that_is_not_there_is_logged() -> None:
    log = Heard()
    Reports("127.0.0.1:1", "mail.example.test", log).send(Mail("s@x.test"), rows("<a@b.test>"), b"")
    assert len(log.lines) == 1
