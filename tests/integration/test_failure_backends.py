"""What the mail system answers while a server that it needs is away or hangs.

Real daemons under their own users behind a real Postfix. The rule everywhere: what cannot be asked
or written is a temporary failure; nothing is refused for good, nothing passes unchecked, and all
of it arrives once the server is back.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from iems.model.finding import TEMPERROR
from tests.fakemta.milter import MilterFilter
from tests.fakemta.script import parse
from tests.fakemta.session import Session
from tests.integration.conftest import Fresh
from tests.integration.stack.ground import Startable
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import Client, send
from tests.waiting import eventually

SENDER = "a@sender.example"
MESSAGE = b"Subject: while something is away\r\n\r\ntext\r\n"

_ANSWER = 15.0
"""Seconds in which RCPT is answered at the worst: resolver and directory have 5 s each, and Postfix
waits 30 s for a milter."""


@pytest.fixture
def box(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user of the test's own, who refuses what the delegated list has."""
    mailsystem.add_domain(fresh.domain)
    rule = "dnsbl/delegated listed choice reject"
    return mailsystem.add_user(fresh.address("alice"), rule)


@contextmanager
def stopped(server: Startable) -> Iterator[None]:
    """The server is away."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def deferred(mailsystem: MailSystem, address: str) -> None:
    """Wait until one attempt to deliver to this address has failed for now."""
    eventually(
        lambda: "status=deferred" in mailsystem.postfix.log(f"to=<{address}>"),
        30,
        lambda: mailsystem.postfix.log(address),
    )
    assert "status=bounced" not in mailsystem.postfix.log(f"to=<{address}>")


def test_slapd_stopped_is_a_delay(mailsystem: MailSystem, box: Mailbox, fresh: Fresh) -> None:
    nobody = fresh.address("nobody")
    with stopped(mailsystem.slapd):
        sent = send(mailsystem.port(), SENDER, [box.user, nobody], MESSAGE)
        codes = {reply.code // 100 for reply in (sent.mail, *sent.recipients.values())}
        assert 5 not in codes, sent
        assert 4 in codes, sent
        # Postfix did not even ask the milter; what that says it says by itself.
        steps = Session(lambda: MilterFilter(str(mailsystem.milter.socket))).run(
            parse(f"connect {fresh.ip} mx.example\nmail <{SENDER}>\nrcpt <{box.user}>\nquit\n")
        )
        assert steps[2].answer.startswith("451 4.3.0")
    # A sender tries again; by then Postfix and milter have connections that work.
    eventually(lambda: send(mailsystem.port(), SENDER, [box.user], MESSAGE).accepted)
    box.wait()


def test_slapd_stopped_behind_the_queue_is_a_delay(mailsystem: MailSystem, box: Mailbox) -> None:
    # The agent starts anew, so that it remembers nothing of the directory.
    with stopped(mailsystem.agent):
        assert send(mailsystem.port(), SENDER, [box.user], MESSAGE).accepted
        deferred(mailsystem, box.user)
        mailsystem.slapd.stop()
    try:
        mailsystem.postfix.flush()
        eventually(lambda: "451" in mailsystem.postfix.log(f"to=<{box.user}>"), 30)
        deferred(mailsystem, box.user)
    finally:
        mailsystem.slapd.start()
    mailsystem.postfix.flush()
    box.wait()
    mailsystem.postfix.wait_empty()


def test_dovecot_stopped_is_a_delay(mailsystem: MailSystem, box: Mailbox) -> None:
    with stopped(mailsystem.dovecot):
        assert send(mailsystem.port(), SENDER, [box.user], MESSAGE).accepted
        deferred(mailsystem, box.user)
        assert not mailsystem.quarantined_for(box.user)
    mailsystem.postfix.flush()
    box.wait()
    mailsystem.postfix.wait_empty()


def findings(mailsystem: MailSystem, queue_id: str) -> dict[str, str]:
    """The band of each check's finding, as the milter passed it on."""
    (row,) = (one for one in mailsystem.why(queue_id) if one["stage"] == "end-of-message")
    details = row["details"]
    assert isinstance(details, dict)
    return {one["check"]: one["band"] for one in details["findings"]}


def test_a_resolver_that_hangs_lets_mail_through(
    mailsystem: MailSystem, box: Mailbox, fresh: Fresh
) -> None:
    # Whether the client is listed cannot be known, and an unknown listing is none.
    mailsystem.lists.list(DELEGATED, fresh.ip)
    mailsystem.resolver.pause()
    try:
        with Client(mailsystem.port(), client=(fresh.ip, "mx.sender.example")) as smtp:
            began = time.monotonic()
            sent = smtp.send(SENDER, [box.user], MESSAGE)
            took = time.monotonic() - began
    finally:
        mailsystem.resolver.resume()
    assert sent.accepted == (box.user,)
    assert took < _ANSWER
    # It is passed on that nothing is known, never that the client is clear.
    assert sent.data
    told = findings(mailsystem, sent.data.text.rpartition(" ")[2])
    assert told.items() >= {"dnsbl/enforced": TEMPERROR, "dnsbl/delegated": TEMPERROR}.items()
    box.wait()
    mailsystem.postfix.wait_empty()
    refused = send(mailsystem.port(), SENDER, [box.user], MESSAGE, client=(fresh.ip, "mx.example"))
    # The list is asked again, at the latest when its rest is over.
    assert refused.recipients[box.user].code in {250, 550}


def test_without_the_milter_mail_waits_at_the_sender(mailsystem: MailSystem, box: Mailbox) -> None:
    with stopped(mailsystem.milter), Client(mailsystem.port()) as smtp:
        assert smtp.command(f"MAIL FROM:<{SENDER}>").code // 100 == 4
    assert send(mailsystem.port(), SENDER, [box.user], MESSAGE).accepted
    box.wait()


def test_records_that_cannot_be_written_are_a_delay(
    mailsystem: MailSystem, box: Mailbox, fresh: Fresh
) -> None:
    mailsystem.lists.list(DELEGATED, fresh.ip)
    client = (fresh.ip, "mx.sender.example")
    files = sorted(mailsystem.site.milter_state.glob("records.sqlite*"))
    with locked(mailsystem):
        sent = send(mailsystem.port(), SENDER, [box.user], MESSAGE, client=client)
        assert sent.recipients[box.user].code == 451, (sent, files)
    sent = send(mailsystem.port(), SENDER, [box.user], MESSAGE, client=client)
    assert sent.recipients[box.user].code == 550


@contextmanager
def locked(mailsystem: MailSystem) -> Iterator[None]:
    """Somebody else holds the milter's records: no transaction gets in."""
    connection = sqlite3.connect(mailsystem.site.milter_state / "records.sqlite")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()
