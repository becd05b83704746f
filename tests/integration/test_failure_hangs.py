"""What the mail system does while a server that it needs accepts connections and says nothing.

A server that is gone is noticed at once; one that hangs is noticed by deadlines alone, and those of
ours must end before Postfix's. The rule is the same: a delay, nothing refused for good, nothing
unchecked, and all of it arrives later.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakemta.milter import MilterFilter
from tests.fakemta.script import Connect
from tests.integration.conftest import Fresh
from tests.integration.stack.faults import hanging
from tests.integration.stack.ground import running
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.programs import run
from tests.integration.stack.smtp import Client, send
from tests.waiting import eventually

SENDER = "a@sender.example"
MESSAGE = b"Subject: while something hangs\r\n\r\ntext\r\n"

_COMMAND = 30.0
"""Seconds that Postfix waits for a milter's answer (milter_command_timeout)."""


@pytest.fixture
def boxes(mailsystem: MailSystem, fresh: Fresh) -> tuple[Mailbox, Mailbox]:
    """Two users of the test's own."""
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("alice")), mailsystem.add_user(fresh.address("bob"))


def attempts(mailsystem: MailSystem, address: str) -> str:
    """What Postfix logged of deliveries to this address."""
    return mailsystem.postfix.log(f"to=<{address}>")


def queued(mailsystem: MailSystem, address: str) -> list[str]:
    """In which queues there is mail for this address; a notice for postmaster is none of it."""
    entries = mailsystem.postfix.entries()
    return [one.queue for one in entries if address in one.recipients]


def asked(path: Path) -> bool:
    """Whether somebody waits at a socket until he is let in; it is known by its first name."""
    rows = Path("/proc/net/unix").read_text().splitlines()
    waiting = (row.split()[-1] for row in rows if row.split()[5] == "02")
    return f"{path}.bind" in waiting


def test_a_directory_that_hangs_is_a_delay(
    mailsystem: MailSystem, boxes: tuple[Mailbox, Mailbox]
) -> None:
    alice, bob = boxes
    # Postfix has led alice's message to the agent before, who has not yet asked for her.
    with hanging(mailsystem.agent.server):
        assert send(mailsystem.port(), SENDER, [alice.user], MESSAGE).accepted
        eventually(lambda: asked(mailsystem.agent.socket))
        mailsystem.slapd.pause()
    try:
        began = time.monotonic()
        refused = send(mailsystem.port(), SENDER, [bob.user], MESSAGE).recipients[bob.user]
        assert refused.code == 451, refused
        # Postfix asks the directory first; the milter's own answer shows without it.
        milter = MilterFilter(str(mailsystem.milter.socket))
        milter.connect(Connect("192.0.2.1", "mx.example"), {"{daemon_name}": "internet"})
        milter.helo("mx.example", {})
        milter.mail(f"<{SENDER}>", {})
        answer = milter.rcpt(f"<{bob.user}>", {})
        assert answer.startswith("451 4.3.0 try again later"), answer
        milter.quit()
        assert time.monotonic() - began < _COMMAND
        eventually(lambda: attempts(mailsystem, alice.user), 30, mailsystem.agent.log)
        assert "451 4.3.0 Directory is not available" in attempts(mailsystem, alice.user)
        eventually(lambda: len(queued(mailsystem, alice.user)) == 1)
        assert not queued(mailsystem, bob.user)
    finally:
        mailsystem.slapd.resume()
    # Postfix's own look-ups may fail once more, with the connections that hung.
    eventually(lambda: send(mailsystem.port(), SENDER, [bob.user], MESSAGE).accepted, 20)
    mailsystem.postfix.flush()
    alice.wait()
    bob.wait()
    mailsystem.postfix.wait_empty()
    assert "status=bounced" not in attempts(mailsystem, alice.user)


def test_mail_waits_for_a_dovecot_that_hangs(
    mailsystem: MailSystem, boxes: tuple[Mailbox, Mailbox]
) -> None:
    alice, bob = boxes
    with hanging(mailsystem.dovecot):
        sent = send(mailsystem.port(), SENDER, [alice.user, bob.user], MESSAGE)
        assert set(sent.accepted) == {alice.user, bob.user}
        eventually(lambda: "active" in queued(mailsystem, alice.user))
    alice.wait()
    bob.wait()
    mailsystem.postfix.wait_empty()


def test_mail_outlives_a_dovecot_that_hangs_and_dies(
    mailsystem: MailSystem, boxes: tuple[Mailbox, Mailbox]
) -> None:
    alice, _bob = boxes
    mailsystem.dovecot.pause()
    try:
        assert send(mailsystem.port(), SENDER, [alice.user], MESSAGE).accepted
        eventually(lambda: "active" in queued(mailsystem, alice.user))
    finally:
        mailsystem.dovecot.kill()
        log = eventually(lambda: attempts(mailsystem, alice.user), 30)
        mailsystem.dovecot.start()
    assert "status=deferred" in log
    assert "451 4.4." in log
    mailsystem.postfix.flush()
    alice.wait()
    mailsystem.postfix.wait_empty()


def test_nothing_passes_a_milter_that_hangs(
    mailsystem: MailSystem, boxes: tuple[Mailbox, Mailbox]
) -> None:
    alice, _bob = boxes
    with impatient(mailsystem), hanging(mailsystem.milter.server):
        with Client(mailsystem.port()) as smtp:
            sent = smtp.send(SENDER, [alice.user], MESSAGE)
        told = (sent.mail, *sent.recipients.values())
        assert told[-1].code == 451, sent
        assert not queued(mailsystem, alice.user)
    assert send(mailsystem.port(), SENDER, [alice.user], MESSAGE).accepted
    alice.wait()
    mailsystem.postfix.wait_empty()


def test_mail_of_this_machine_waits_for_the_milter(
    mailsystem: MailSystem, boxes: tuple[Mailbox, Mailbox], fresh: Fresh
) -> None:
    alice, bob = boxes
    message_id = f"<waits@{fresh.domain}>"
    message = f"Message-ID: {message_id}\n".encode() + MESSAGE.replace(b"\r\n", b"\n")
    mailsystem.milter.stop()
    before = mailsystem.postfix.log("iems/milter.sock: ")
    try:
        mailsystem.postfix.sendmail("-f", bob.user, alice.user, message=message)
        eventually(
            lambda: mailsystem.postfix.log("iems/milter.sock: ") != before,
            20,
            lambda: mailsystem.postfix.log()[-3000:],
        )
        assert not alice.messages()
    finally:
        mailsystem.milter.start()
    alice.wait(deadline=30)
    mailsystem.postfix.wait_empty()
    told = mailsystem.why(message_id)
    assert {row["channel"] for row in told if row["stage"] == "end-of-message"} == {"local"}


@contextmanager
def impatient(mailsystem: MailSystem) -> Iterator[None]:
    """A Postfix that waits for its milter for 3 seconds instead of 30."""
    settings = ("milter_connect_timeout=3s", "milter_command_timeout=3s")
    mailsystem.postfix.stop()
    config = mailsystem.postfix.config
    before = (config / "main.cf").read_text()
    run("postconf", "-c", config, "-e", *settings)
    try:
        with running(mailsystem.postfix):
            yield
    finally:
        (config / "main.cf").write_text(before)
        mailsystem.postfix.start()
