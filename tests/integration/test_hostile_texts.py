"""Texts from outside (HELO, addresses, TXT records of lists, Message-ID) in replies, headers, logs.

They come with control characters, percent signs, quotes, what would be another line, and in 100 kB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.integration.stack.daemons import Daemon
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import CONTACT, DELEGATED, ENFORCED, MailSystem
from tests.integration.stack.smtp import Client

DOMAIN = "texts.box.test"
ENFORCED_CLIENT, DELEGATED_CLIENT = "198.18.253.1", "198.18.253.2"
TEXT = '%n%s%% "; X-IEMS-Verdict: junk; \x1b[31m\x07 é ' + "y" * 150
SPOILT = b'%n%s\x1b]0;x\x07\\" action="accept" \xff'

NAMES = {
    "percent signs": b"%n%s%%.example",
    "quotes": b"x\"y'z;=\\",
    "blanks": b"a b c",
    "control characters": b"a\x1b[31m\x07\x7f",
    "a bare CR": b"a\rMAIL FROM:<x@y.example>",
    "UTF-8": "bücher\u202e.example".encode(),
    "2,000 bytes": b"h" * 2000,
    "100 kB": b"h" * 100_000,
}
SENDERS = {
    "percent signs": b'"%n%s%%"@b.example',
    "quotes": b'"a\\"b; reply=\\"250"@b.example',
    "control characters": b'"a\x1b[31m\x07"@b.example',
    "1,000 letters": b"a" * 1000 + b"@b.example",
}
RECIPIENTS = {
    "percent signs": b"u+%n%s%%@" + DOMAIN.encode(),
    "quotes": b'"u+a\\"b; reply=\\"250"@' + DOMAIN.encode(),
    "control characters": b'"u+\x1b[31m\x07"@' + DOMAIN.encode(),
    "200 letters": b"u+" + b"a" * 200 + b"@" + DOMAIN.encode(),
}
_LISTED = r"^550 5\.7\.1 <.*>: client .* is listed by enforced; help: \S+; reference \w+$"
ANSWERS = {
    # Postfix takes percent signs for a route, which it does not give to strangers.
    "percent signs": r"^554 5\.7\.1 <u\+%n%s%%@.*>: Relay access denied$",
    "quotes": _LISTED,
    "control characters": r"^553 5\.1\.3 this address cannot be read; reference \w+$",
    "200 letters": _LISTED,
}


@dataclass(frozen=True)
class Place:
    """The system, and `u`, who has listed mail in Junk; `r` refuses it."""

    system: MailSystem
    box: Mailbox
    began: Mapping[str, int]
    """The lines that each daemon had logged before: other tests have theirs killed and broken."""

    def logged(self, daemon: Daemon) -> list[str]:
        """What it has logged since."""
        return daemon.log().splitlines()[self.began[daemon.name] :]


@pytest.fixture(scope="module")
def place(mailsystem: MailSystem) -> Place:
    """Made once; the lists say of both clients what no list should."""
    mailsystem.add_domain(DOMAIN)
    box = mailsystem.add_user(f"u@{DOMAIN}", "dnsbl/delegated listed choice junk")
    mailsystem.add_user(f"r@{DOMAIN}", "dnsbl/delegated listed choice reject")
    mailsystem.lists.list(ENFORCED, ENFORCED_CLIENT, text=TEXT)
    mailsystem.lists.list(DELEGATED, DELEGATED_CLIENT, text=TEXT)
    daemons = (mailsystem.milter, mailsystem.agent)
    began = {one.name: len(one.log().splitlines()) for one in daemons}
    return Place(mailsystem, box, began)


def asked(client: Client, line: bytes) -> tuple[int, str]:
    """The reply to a line, which is one reply: what follows is answered for itself."""
    client.raw(line + b"\r\n")
    told = client.reply()
    assert client.command("NOOP").code == 250, f"{line[:80]!r} has two replies"
    return told.code, told.text


def plain(text: str) -> bool:
    """Whether a terminal shows it and does nothing."""
    return text.isascii() and text.isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_client_gets_into_a_refusal(place: Place, name: str) -> None:
    with Client(place.system.port(), client=(ENFORCED_CLIENT, "mx.sender.example")) as client:
        asked(client, b"EHLO " + NAMES[name])
        client.command("EHLO client.example") if name == "100 kB" else None
        asked(client, b"MAIL FROM:<a@sender.example>")
        code, text = asked(client, f"RCPT TO:<u@{DOMAIN}>".encode())
    if code != 503:
        assert code == 550
        assert re.fullmatch(
            rf"5\.7\.1 <u@{DOMAIN}>: client {ENFORCED_CLIENT} is listed by enforced; "
            rf"help: {CONTACT}; reference \w+",
            text,
        )


@pytest.mark.parametrize("recipient", RECIPIENTS)
@pytest.mark.parametrize("sender", SENDERS)
def test_addresses_are_shown_in_one_line_of_printable_text(
    place: Place, sender: str, recipient: str
) -> None:
    with Client(place.system.port(), client=(ENFORCED_CLIENT, "mx.sender.example")) as client:
        code, _text = asked(client, b"MAIL FROM:<" + SENDERS[sender] + b">")
        assert code in {250, 501}
        if code == 250:
            code, text = asked(client, b"RCPT TO:<" + RECIPIENTS[recipient] + b">")
            assert plain(text)
            assert len(text) < 500
            assert re.search(ANSWERS[recipient], f"{code} {text}")


@pytest.mark.parametrize(
    "form",
    [
        "r@{}",
        "R@{}.",
        "r+@{}",
        '"r"@{}',
        "(c)r@{}",
        "r(c)@{}",
        "r@{}(c)",
        "r @ {}",
        "@x.example:r@{}",
        '" r"@{}',
        "\uff52@{}",
    ],
)
def test_no_form_of_an_address_evades_a_list(place: Place, form: str) -> None:
    for client, label in ((ENFORCED_CLIENT, "enforced"), (DELEGATED_CLIENT, "delegated")):
        with Client(place.system.port(), client=(client, "mx.sender.example")) as smtp:
            assert smtp.command("MAIL FROM:<a@sender.example> SMTPUTF8").code == 250
            told = smtp.command(f"RCPT TO:<{form.format(DOMAIN)}>")
            # slapd takes blanks and wide letters for the plain ones, and we do not: such a
            # recipient's own choice is left to the agent.
            if label == "delegated" and form in {'" r"@{}', "\uff52@{}"}:
                assert told.code == 250, told
            else:
                assert told.code == 550, told
                assert f"listed by {label};" in told.text


def test_a_hostile_message_is_one_line_in_each_log_and_one_verdict(place: Place) -> None:
    system = place.system
    long = b"<" + b"m" * 100_000 + b"@x.example>"
    with Client(system.port(), client=(DELEGATED_CLIENT, "mx.sender.example")) as client:
        for number, message_id in enumerate((SPOILT, b"\r\n " + SPOILT, long, b"")):
            text = b"Subject: %d\r\nMessage-ID: %s\r\nFrom: %s\r\n\r\nbody\r\n"
            sent = client.send(
                'a"b@sender.example'.replace('"', ""),
                [place.box.user],
                text % (number, message_id, SPOILT),
            )
            assert sent.accepted, sent
    arrived = place.box.wait(4, folder="Junk")
    for text in arrived:
        assert text.count(b"X-IEMS-Verdict:") == 1
        assert text.count(b"Authentication-Results:") == 1
    for daemon in (system.milter, system.agent):
        for line in place.logged(daemon):
            assert re.match(rf"{daemon.name}\[\d+\]: ", line), line
            assert plain(line), line
            assert len(line) < 8192
    reference = re.search(rb"X-IEMS-Verdict: junk; ref=(\w+)", arrived[0])
    assert reference
    system.why(reference.group(1).decode(), 2)
    shown = system.iems("why", reference.group(1).decode()).decode()
    assert all(line.isprintable() for line in shown.splitlines())
    assert "listed by delegated" in shown
