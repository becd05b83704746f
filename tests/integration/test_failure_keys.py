"""The key of the findings is turned over while mail that the old one signed is queued."""

from __future__ import annotations

import tomllib

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import send
from tests.waiting import eventually

SENDER, NAME = "a@sender.example", "mx.sender.example"


@pytest.fixture
def box(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user who wants mail of listed clients in Junk; the test's client is listed."""
    mailsystem.lists.list(DELEGATED, fresh.ip)
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("alice"), "dnsbl/delegated listed choice junk")


def queued(mailsystem: MailSystem, box: Mailbox, fresh: Fresh, word: str) -> str:
    """A message of the listed client that Postfix has taken; its queue id."""
    message = f"Subject: {word}\r\n\r\ntext\r\n".encode()
    sent = send(mailsystem.port(), SENDER, [box.user], message, client=(fresh.ip, NAME))
    assert sent.accepted
    assert sent.data
    return sent.data.text.rpartition(" ")[2]


def delivery(mailsystem: MailSystem, queue_id: str) -> dict[str, object]:
    """What the agent recorded of this message."""
    [row] = (one for one in mailsystem.why(queue_id, 2) if one["stage"] == "delivery")
    return row


def reloaded(mailsystem: MailSystem) -> None:
    """The milter works with what is written now."""
    before = set(mailsystem.milter.workers())
    mailsystem.milter.reload()
    eventually(lambda: not before & set(mailsystem.milter.workers()), 30, mailsystem.milter.log)


def test_a_key_turned_over_while_mail_is_queued(
    mailsystem: MailSystem, box: Mailbox, fresh: Fresh
) -> None:
    file = mailsystem.site.etc / "keys/findings.toml"
    before = file.read_bytes()
    mailsystem.agent.stop()
    try:
        old = queued(mailsystem, box, fresh, "old")
        assert b"which waits" in mailsystem.iems("key", "prepare")
        with pytest.raises(RuntimeError, match="iems-milter has not been reloaded"):
            mailsystem.iems("key", "activate")
        reloaded(mailsystem)
        eventually(lambda: _activated(mailsystem), 20)
        reloaded(mailsystem)
        new = queued(mailsystem, box, fresh, "new")
    finally:
        mailsystem.agent.start()
    mailsystem.postfix.flush()
    box.wait(2, folder="Junk")
    for queue_id in (old, new):
        assert "fault" not in delivery(mailsystem, queue_id)["details"]  # type: ignore[operator]

    # A key that is gone verifies nothing: then it is unknown what was found, and never "clean".
    mailsystem.agent.stop()
    try:
        late = queued(mailsystem, box, fresh, "late")
        file.write_bytes(before)
    finally:
        mailsystem.agent.start()
        reloaded(mailsystem)
    mailsystem.postfix.flush()
    box.wait(1)
    details = delivery(mailsystem, late)["details"]
    assert isinstance(details, dict)
    assert "key" in details["fault"]
    assert {one["outcome"] for one in details["findings"]} == {"temperror"}
    mailsystem.postfix.wait_empty()


def _activated(mailsystem: MailSystem) -> bool:
    try:
        mailsystem.iems("key", "activate")
    except RuntimeError:
        return False
    states = tomllib.loads((mailsystem.site.etc / "keys/findings.toml").read_text())["key"]
    return [one["state"] for one in states] == ["retiring", "active"]
