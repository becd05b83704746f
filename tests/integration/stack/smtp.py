"""SMTP and LMTP as a client: every reply kept, each recipient's apart."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

TIMEOUT = 60.0
"""Seconds for one reply: more than the 30 s that Postfix waits for a milter, so that its own answer
comes first."""


@dataclass(frozen=True)
class Reply:
    """One reply: `text` has its lines joined, without the code."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass(frozen=True)
class Sent:
    """How one transaction was answered; `data` is None where there was nobody to send it to.

    `each` are the replies at the end of DATA by recipient: one and the same over SMTP, one a
    recipient over LMTP.
    """

    mail: Reply
    recipients: Mapping[str, Reply]
    data: Reply | None
    each: Mapping[str, Reply]

    @property
    def accepted(self) -> tuple[str, ...]:
        """The recipients for whom the message was taken."""
        return tuple(address for address, reply in self.each.items() if reply.code == 250)


class Client:
    """One SMTP connection. With `client` (address, name) it is one from there, by XCLIENT."""

    def __init__(
        self,
        port: int,
        *,
        client: tuple[str, str] | None = None,
        helo: str = "client.example",
        login: tuple[str, str] | None = None,
    ) -> None:
        self._smtp = smtplib.SMTP("127.0.0.1", port, local_hostname=helo, timeout=TIMEOUT)
        self._smtp.command_encoding = "utf-8"
        self.ehlo = _reply(self._smtp.ehlo())
        if client is not None:
            self.xclient(*client)
        if login is not None:
            self._smtp.login(*login)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def xclient(self, address: str, name: str = "") -> Reply:
        """Be this client from here on; an empty name is one without PTR."""
        spelt = f"IPV6:{address}" if ":" in address else address
        known = name or "[UNAVAILABLE]"
        answered = self.command(f"XCLIENT ADDR={spelt} NAME={known}")
        assert answered.code == 220, answered
        self.ehlo = _reply(self._smtp.ehlo())
        return answered

    def command(self, line: str) -> Reply:
        """Send a line as it is and read the reply."""
        return _reply(self._smtp.docmd(line))

    def send(
        self,
        sender: str,
        recipients: Sequence[str],
        message: bytes,
        *,
        options: Sequence[str] = (),
        recipient_options: Sequence[str] = (),
    ) -> Sent:
        """One transaction from MAIL to the end of DATA, and what was said to each step."""
        mail = self.command(" ".join([f"MAIL FROM:<{sender}>", *options]))
        if mail.code != 250:
            return Sent(mail, {}, None, {})
        told = {
            recipient: self.command(" ".join([f"RCPT TO:<{recipient}>", *recipient_options]))
            for recipient in recipients
        }
        taken = [recipient for recipient, reply in told.items() if reply.code in {250, 251}]
        if not taken:
            self.command("RSET")
            return Sent(mail, told, None, {})
        replies = self.data(message, len(self._ends(taken)))
        ends = dict(zip(self._ends(taken), replies, strict=True))
        if len(replies) == 1:
            ends = dict.fromkeys(taken, replies[0])
        return Sent(mail, told, replies[0], ends)

    def data(self, message: bytes, replies: int = 1) -> list[Reply]:
        """DATA with the message, lines as they are, dots doubled; the replies at its end."""
        started = self.command("DATA")
        if started.code != 354:
            return [started] * replies
        self._smtp.send(stuffed(message))
        return [_reply(self._smtp.getreply()) for _one in range(replies)]

    def raw(self, octets: bytes) -> None:
        """Put bytes on the wire and read nothing."""
        self._smtp.send(octets)

    def reply(self) -> Reply:
        """Read one reply."""
        return _reply(self._smtp.getreply())

    def login(self, user: str, password: str) -> Reply:
        """AUTH; smtplib's SMTPAuthenticationError where it is refused."""
        return _reply(self._smtp.login(user, password))

    def starttls(self) -> Reply:
        """STARTTLS without checking the certificate, and EHLO again."""
        answered = _reply(self._smtp.starttls())
        self.ehlo = _reply(self._smtp.ehlo())
        return answered

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._smtp.close()

    def close(self) -> None:
        """QUIT, where the connection still is."""
        try:
            self._smtp.quit()
        except (smtplib.SMTPException, OSError):
            self._smtp.close()

    def _ends(self, taken: Sequence[str]) -> Sequence[str]:
        return taken[:1]


class LmtpClient(Client):
    """One LMTP connection to a unix socket: one reply a recipient at the end of DATA."""

    def __init__(self, path: Path, *, helo: str = "mail.example.test") -> None:
        self._smtp = smtplib.LMTP(str(path), local_hostname=helo)
        self._smtp.command_encoding = "utf-8"
        assert isinstance(self._smtp.sock, socket.socket)
        self._smtp.sock.settimeout(TIMEOUT)
        self.ehlo = _reply(self._smtp.ehlo())

    def _ends(self, taken: Sequence[str]) -> Sequence[str]:
        return taken


def stuffed(message: bytes) -> bytes:
    """The message as DATA carries it: dots doubled, ended by CRLF.CRLF."""
    text = message.replace(b"\r\n.", b"\r\n..")
    if text.startswith(b"."):
        text = b"." + text
    if not text.endswith(b"\r\n"):
        text += b"\r\n"
    return text + b".\r\n"


def send(
    port: int,
    sender: str,
    recipients: Sequence[str],
    message: bytes,
    *,
    client: tuple[str, str] | None = None,
) -> Sent:
    """One message over a connection of its own."""
    with Client(port, client=client) as smtp:
        return smtp.send(sender, recipients, message)


def _reply(answered: tuple[int, bytes]) -> Reply:
    code, text = answered
    return Reply(code, text.decode("utf-8", "replace"))
