"""What the daemons do when their own files cannot be written: spool, quarantine, records.

The files are made unwritable where the daemons, which are no root, notice it: by the mode of a
folder, by a bound on the size of files (what is written beyond it fails as on a full disk), and by
a database that somebody else has locked.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.faults import closed, locked, small_files
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import Sent, send
from tests.waiting import eventually

SENDER = "a@sender.example"
NAME = "mx.sender.example"
SMALL = b"Subject: small\r\n\r\ntext\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"0123456789" * 7 + b"\r\n" + (b"x" * 70 + b"\r\n") * 14_000
"""A million bytes: four times what the agent keeps in memory."""

_FULL = 300_000
"""Bytes to which files may grow on the disk that is nearly full: the spool's first write passes."""


@pytest.fixture
def alice(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user of the test's own, without a wish."""
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("alice"))


@pytest.fixture
def careful(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user who wants mail of listed clients in quarantine; the test's client is listed."""
    mailsystem.lists.list(DELEGATED, fresh.ip)
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("carol"), "dnsbl/delegated listed choice quarantine")


def waits(mailsystem: MailSystem, box: Mailbox, reason: str) -> None:
    """Until a delivery to this mailbox has failed for this reason; the message is queued then."""

    def log() -> str:
        return mailsystem.postfix.log(f"to=<{box.user}>")

    eventually(lambda: "status=" in log(), 30, mailsystem.agent.log)
    assert reason in log()
    assert "status=deferred" in log()

    def queued() -> list[tuple[str, ...]]:
        entries = mailsystem.postfix.entries()
        return [one.recipients for one in entries if box.user in one.recipients]

    # One that is just tried again may be in neither folder for who looks at one after the other.
    eventually(lambda: queued() == [(box.user,)], message=lambda: str(queued()))


def arrives(mailsystem: MailSystem, box: Mailbox) -> None:
    """What waited is delivered, once."""
    mailsystem.postfix.flush()
    box.wait()
    mailsystem.postfix.wait_empty()


def listed(mailsystem: MailSystem, fresh: Fresh, recipients: Iterable[str]) -> Sent:
    """A message from the listed client."""
    return send(mailsystem.port(), SENDER, list(recipients), SMALL, client=(fresh.ip, NAME))


def test_a_spool_that_takes_nothing_is_a_delay(mailsystem: MailSystem, alice: Mailbox) -> None:
    with closed(mailsystem.site.agent_state / "spool"):
        assert send(mailsystem.port(), SENDER, [alice.user], LARGE).accepted
        waits(mailsystem, alice, "452 4.3.1")
    arrives(mailsystem, alice)


def test_a_disk_that_fills_up_is_a_delay(mailsystem: MailSystem, alice: Mailbox) -> None:
    with small_files(mailsystem.agent, _FULL):
        assert send(mailsystem.port(), SENDER, [alice.user], LARGE).accepted
        waits(mailsystem, alice, "452 4.3.1")
    arrives(mailsystem, alice)


def test_small_messages_need_no_disk(mailsystem: MailSystem, alice: Mailbox) -> None:
    with small_files(mailsystem.agent, 0), closed(mailsystem.site.agent_state / "spool"):
        assert send(mailsystem.port(), SENDER, [alice.user], SMALL).accepted
        alice.wait()
    mailsystem.postfix.wait_empty()


def test_a_quarantine_that_takes_nothing_is_a_delay(
    mailsystem: MailSystem, careful: Mailbox, fresh: Fresh
) -> None:
    quarantine = mailsystem.site.agent_state / "quarantine"
    quarantine.mkdir(exist_ok=True)
    with closed(quarantine):
        assert listed(mailsystem, fresh, [careful.user]).accepted
        waits(mailsystem, careful, "451 4.3.1 Quarantine is not available")
    mailsystem.postfix.flush()
    mailsystem.postfix.wait_empty()
    assert len(mailsystem.quarantined_for(careful.user)) == 1
    assert not careful.messages()


def test_a_quarantine_without_its_record_is_a_delay(
    mailsystem: MailSystem, careful: Mailbox, fresh: Fresh
) -> None:
    with locked(mailsystem.site.agent_state):
        assert listed(mailsystem, fresh, [careful.user]).accepted
        waits(mailsystem, careful, "451 4.3.0 Verdict cannot be recorded")
        # Postfix tries for days: what it still has must not pile up in quarantine.
        assert not mailsystem.quarantined_for(careful.user)
    mailsystem.postfix.flush()
    mailsystem.postfix.wait_empty()
    assert len(mailsystem.quarantined_for(careful.user)) == 1
    assert not careful.messages()


@pytest.fixture
def strict(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user who refuses listed clients; the test's client is listed."""
    mailsystem.lists.list(DELEGATED, fresh.ip)
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("sam"), "dnsbl/delegated listed choice reject")


def test_no_refusal_on_a_full_disk_but_mail_comes_in(
    mailsystem: MailSystem, strict: Mailbox, fresh: Fresh
) -> None:
    with small_files(mailsystem.milter, 0):
        assert listed(mailsystem, fresh, [strict.user]).recipients[strict.user].code == 451
        assert send(mailsystem.port(), SENDER, [strict.user], SMALL).accepted
    strict.wait()
    assert listed(mailsystem, fresh, [strict.user]).recipients[strict.user].code == 550
    mailsystem.postfix.wait_empty()
