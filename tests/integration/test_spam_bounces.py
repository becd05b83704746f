"""Bounces after the queue: those that return spam live in a Postfix of their own, and not for long.

`reject_after_queue` is `bounce` here. The sender's server takes no connection, unless a test says
otherwise, so that bounces stay where they are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from iems.codec.findings import Passed, encode
from iems.model.finding import Finding
from tests.integration.conftest import Fresh
from tests.integration.stack.daemons import KEY_ID, SECRET
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, UNREACHABLE, MailSystem
from tests.integration.stack.postfix import Postfix, Queued
from tests.integration.stack.smtp import Client, send
from tests.waiting import eventually

SETTINGS = """
reject_after_queue = "bounce"
[channels.internet.policy."dnsbl/delegated"]
default = { listed = "junk" }
"""
SENDER = f"a@{UNREACHABLE}"
NAME = "mx.sender.example"


@pytest.fixture(scope="module")
def system(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """The site bounces what is refused behind the queue, and files as junk who is listed."""
    with mailsystem.settings("bounces", SETTINGS):
        yield mailsystem


@dataclass
class People:
    """alice refuses the delegated list, bob takes all; `both` reaches both."""

    alice: Mailbox
    bob: Mailbox
    both: str


@pytest.fixture
def people(system: MailSystem, fresh: Fresh) -> Iterator[People]:
    """Users in a domain of the test's own; both queues are empty afterwards."""
    system.add_domain(fresh.domain)
    yield People(
        system.add_user(fresh.address("alice"), "dnsbl/delegated listed choice reject"),
        system.add_user(fresh.address("bob")),
        system.add_alias(fresh.address("both"), fresh.address("alice"), fresh.address("bob")),
    )
    system.postfix.empty()
    system.bounces.empty()


def message(fresh: Fresh, *fields: str) -> bytes:
    """A message with a Message-ID of its own."""
    head = [f"Message-ID: <{fresh.domain}@sender.example>", "Subject: hello", *fields]
    return "".join(f"{line}\r\n" for line in [*head, "", "text"]).encode()


def kept(postfix: Postfix, recipient: str = SENDER) -> list[Queued]:
    """The bounces to this sender in a queue, once they were tried."""
    found = [one for one in postfix.entries() if one.recipients == (recipient,)]
    return [one for one in found if one.sender == "MAILER-DAEMON" and one.queue == "deferred"]


def test_a_bounce_of_spam_is_kept_apart_and_not_for_long(
    system: MailSystem, people: People, fresh: Fresh
) -> None:
    system.lists.list(DELEGATED, fresh.ip)
    before = system.bounces.log("sender non-delivery")
    send(system.port(), SENDER, [people.both], message(fresh), client=(fresh.ip, NAME))
    people.bob.wait(folder="Junk")
    eventually(lambda: kept(system.bounces), 20, lambda: system.postfix.log()[-3000:])
    system.postfix.wait_empty()  # the other one may have tried before the first one forgets it

    def groups() -> list[tuple[str, int]]:
        told = json.loads(system.iems("queue", "--json", "--by", "instance", "domain"))
        # A notice of a server that an earlier test stopped may be on its way to postmaster.
        mine = [one for one in told["groups"] if one["domain"] == UNREACHABLE]
        return [(one["instance"], one["messages"]) for one in mine]

    # It is tried again each few seconds, and is in no queue on its way to another one.
    eventually(lambda: groups() == [("postfix-bounces", 1)], message=lambda: str(groups()))
    file = system.bounces.config / "main.cf"
    text = file.read_text()
    file.write_text(text + "bounce_queue_lifetime = 1s\n")
    system.bounces.reload()
    try:
        eventually(lambda: not system.bounces.entries(), 30)
    finally:
        file.write_text(text)
        system.bounces.reload()
    system.postfix.wait_empty()
    assert system.bounces.log("sender non-delivery") == before, "a bounce of a bounce"


def test_an_ordinary_bounce_stays_in_the_first(
    system: MailSystem, people: People, fresh: Fresh
) -> None:
    nobody = system.add_alias(fresh.address("old"), fresh.address("gone"), fresh.address("bob"))
    send(system.port(), SENDER, [nobody], message(fresh), client=(fresh.ip, NAME))
    people.bob.wait()
    eventually(lambda: kept(system.postfix), 20)
    assert not system.bounces.entries()


def test_a_bounce_of_spam_that_arrives_says_nothing_of_us(
    system: MailSystem, people: People, fresh: Fresh
) -> None:
    system.lists.list(DELEGATED, fresh.ip)
    sender = f"s@{fresh.domain}.example"
    send(system.port(), sender, [people.both], message(fresh), client=(fresh.ip, NAME))
    people.bob.wait(folder="Junk")

    def bounce() -> list[bytes]:
        caught = [one.message for one in system.outside.caught() if sender in one.recipients]
        return [one for one in caught if b"multipart/report" in one]

    [text] = eventually(bounce, 20)
    assert b"X-IEMS-" not in text.partition(b"\r\n\r\n")[0]
    # What was caught is logged a moment later.
    eventually(lambda: "status=sent" in system.bounces.log(f"to=<{sender}>"), 20)

    def handed_over() -> list[str]:
        lines = system.postfix.log(f"to=<{sender}>").splitlines()
        return [one for one in lines if "postfix/bounces/smtp" in one]

    sent = eventually(handed_over, 20)[-1]
    queue_id = sent.partition("]: ")[2].partition(":")[0]
    told = [str(row["details"]) for row in system.why(queue_id)]
    assert any("a bounce of spam: " in one for one in told), told


def report(queue_id: str, *fields: bytes) -> bytes:
    """A report as Postfix's bounce(8) makes it, about mail of `SENDER`, that returns these."""
    lines = [
        "From: MAILER-DAEMON@mail.example.test",
        'Content-Type: multipart/report; report-type=delivery-status;\n\tboundary="4X.1/mail"',
        *("", "--4X.1/mail", "Content-Type: message/delivery-status", ""),
        f"X-Postfix-Queue-ID: {queue_id}",
        f"X-Postfix-Sender: rfc822; {SENDER}",
        *("", "--4X.1/mail", "Content-Type: message/rfc822", ""),
        *(f"X-IEMS-Findings:{one.decode()}".replace("\r", "") for one in fields),
        *("Subject: hello", "", "text", "", "--4X.1/mail--", ""),
    ]
    return "\n".join(lines).encode()


def found(key: bytes = SECRET) -> bytes:
    """The findings of a listed client's message with the queue id 4Q."""
    finding = Finding("dnsbl/delegated", "fail", "listed", "listed")
    passed = Passed("000000000000", "4Q", "internet", SENDER, 1, (finding,))
    return encode(passed, KEY_ID, key)


@pytest.mark.parametrize(
    ("text", "spam"),
    [
        (report("4Q", found()), True),
        (report("4Q", found(b"x" * 32)), False),
        (report("4R", found()), False),
        (report("4Q", found(), found()), False),
        (report("4Q"), False),
    ],
    ids=["genuine", "forged", "of another message", "twice", "none"],
)
def test_only_genuine_findings_of_that_message_count(
    system: MailSystem, people: People, text: bytes, spam: bool
) -> None:
    del people
    system.postfix.sendmail("-f", "<>", SENDER, message=text)
    here, there = system.postfix, system.bounces
    if spam:
        here, there = there, here
    eventually(lambda: kept(here), 20, lambda: str((here.entries(), there.entries())))
    there.wait_empty()


def test_it_takes_bounces_and_no_other_mail(system: MailSystem) -> None:
    with Client(system.bounces.port("bounces")) as smtp:
        assert smtp.command("MAIL FROM:<a@example.test>").code == 250
        assert smtp.command("RCPT TO:<b@elsewhere.example>").code == 554
        smtp.command("RSET")
        assert smtp.command("MAIL FROM:<>").code == 250
        assert smtp.command("RCPT TO:<b@elsewhere.example>").code == 250
    with Client(system.bounces.port("bounces"), client=("192.0.2.1", NAME)) as smtp:
        smtp.command("MAIL FROM:<>")
        assert smtp.command("RCPT TO:<b@elsewhere.example>").code == 554


def test_status_tells_what_waits_in_it(system: MailSystem) -> None:
    told = json.loads(system.iems_ends("status", "--json").stdout)
    assert "deferred" in told["queues"]["postfix-bounces"]
    assert len(told["queues"]) == 2
