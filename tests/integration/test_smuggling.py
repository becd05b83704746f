"""SMTP smuggling: what looks like an end of DATA and is none; one message in is one message out.

Behind each form stands what a second message would be. Postfix and the agent are each asked by a
raw socket, so that nobody mends a line end on the way; dots stand at the borders of their buffers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from iems.store.spool import PIECE
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import Client, LmtpClient, Reply

DOMAIN = "smuggling.box.test"
SENDER = "a@sender.example"
_HEAD = b"Message-ID: <%s@smuggling.example>\r\nSubject: one\r\n\r\nbegins"
_SECOND = (
    f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<victim@{DOMAIN}>\r\nDATA\r\n"
    "Subject: smuggled\r\n\r\nbody of the second"
).encode()
_BUFFERS = (4096, 16384, 131072)
"""Bytes that Postfix's streams (4 KiB), a TLS record and the agent read at once."""

ENDS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\rx",
    "CR.LF": b"\r.\n",
    "LF.CR": b"\n.\rx",
    "CRLF NUL.CRLF": b"\r\n\0.\r\n",
    "CRLF.NUL CRLF": b"\r\n.\0\r\n",
    "LF NUL.LF": b"\n\0.\n",
    "LFCR.CRLF": b"\n\r.\r\n",
    "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n",
    "CRLF..CRLF": b"\r\n..\r\n",
    "CRLF. CRLF": b"\r\n. \r\n",
    "CRLF.TAB CRLF": b"\r\n.\t\r\n",
}
DOTS = {
    f"{at + shift} bytes before {text!r}": b"x" * (at + shift) + text
    for at in _BUFFERS
    for shift in (-3, -1, 0)
    for text in (b"\r\n..\r\n", b"\n.\r\n")
}
DOTS["at a border of the agent's pieces"] = b"x" * (2 * PIECE - len("\r\nbegins\n")) + b"\n.\r\n"


@contextmanager
def internet(system: MailSystem) -> Iterator[Client]:
    """Port 25, from outside."""
    with Client(system.port(), client=("198.18.252.1", "mx.sender.example")) as client:
        yield client


@contextmanager
def submission(system: MailSystem) -> Iterator[Client]:
    """Port 587, logged in."""
    user = f"victim@{DOMAIN}"
    with Client(system.port("submission")) as client:
        client.starttls()
        client.login(user, system.password(user))
        yield client


@contextmanager
def agent(system: MailSystem) -> Iterator[Client]:
    """The agent's own socket."""
    with LmtpClient(system.agent.socket) as client:
        yield client


WAYS = {way.__name__: way for way in (internet, submission, agent)}


@pytest.fixture(scope="module")
def victim(mailsystem: MailSystem) -> Mailbox:
    """Whom the second message would reach."""
    mailsystem.add_domain(DOMAIN)
    return mailsystem.add_user(f"victim@{DOMAIN}")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_end_of_data_ends_no_message(
    mailsystem: MailSystem, victim: Mailbox, way: str
) -> None:
    before = len(victim.messages())
    sender = victim.user if way == "submission" else SENDER
    with WAYS[way](mailsystem) as client:
        for name, text in (ENDS | DOTS).items():
            said = _say(client, sender, victim.user, _HEAD % _word(name) + text + _SECOND)
            assert said.code == 250, f"{name}: {said}"
            assert client.command("NOOP").code == 250, f"{name}: more than one reply"
    mailsystem.postfix.wait_empty()
    arrived = victim.wait(before + len(ENDS | DOTS))[before:]
    found = {_id(text): text for text in arrived}
    assert found.keys() == {_word(name) for name in ENDS | DOTS}
    for name in ENDS | DOTS:
        text = found[_word(name)]
        assert b"body of the second" in text, name
        assert b"\r\nSubject: smuggled" not in text.partition(b"\r\n\r\n")[0], name


def _say(client: Client, sender: str, recipient: str, text: bytes) -> Reply:
    """One message as these very bytes, and the reply at its end."""
    assert client.command(f"MAIL FROM:<{sender}>").code == 250
    assert client.command(f"RCPT TO:<{recipient}>").code == 250
    assert client.command("DATA").code == 354
    client.raw(text + b"\r\n.\r\n")
    return client.reply()


def _word(name: str) -> bytes:
    return re.sub(r"\W+", "-", name).encode()


def _id(text: bytes) -> bytes:
    found = re.search(rb"<([^<>@]+)@smuggling\.example>", text)
    assert found, text[:2000]
    return found.group(1)
