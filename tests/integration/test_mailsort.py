"""Rules through the whole server: sent by SMTP, seen over IMAP, as 550, or as exactly one reply."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iems.model.policy import BLOCKED
from sieve.mailsort.rule import (
    AddressTest,
    Book,
    Copy,
    FindingTest,
    Flag,
    Forward,
    Group,
    KnownTest,
    Move,
    Operator,
    Party,
    Quantity,
    Reject,
    Reply,
    Rule,
    Stop,
    Vacation,
)
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.ruled import SENDER, Person, about, ends, person
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import send

FAR = "alice@elsewhere.example"


@pytest.fixture
def alice(mailsystem: MailSystem, fresh: Fresh) -> Person:
    mailsystem.add_domain(fresh.domain)
    return person(mailsystem, fresh, "alice")


def test_what_rules_say_is_done(alice: Person, tmp_path: Path) -> None:
    """Moved, copied, sent on; and what no rule speaks of stays in INBOX."""
    told = alice.rules(
        tmp_path,
        Rule("moved", about("one"), (Move("Moved/Ünder"),)),
        Rule("copied", about("two"), (Copy("Copied"), Flag(("\\Flagged",)))),
        Rule("sent on", about("three"), (Forward((FAR,)),)),
        Rule("sent on and kept", about("four"), (Forward((FAR,), keep=True),)),
        Rule("refused", about("six"), (Reject("No."),)),
        Rule("off", about("five"), (Move("Moved"),), enabled=False),
    )
    assert told == f"installed rules of {alice.box.user}\n"
    for subject in ("one", "two", "three", "four", "five", "six"):
        alice.gets(subject)
    assert b"Subject: one" in alice.box.wait(folder="Moved.&ANw-nder")[0]
    assert b"Subject: two" in alice.box.wait(folder="Copied")[0]
    assert b"Subject: six" in alice.box.wait(folder="Junk")[0]
    inbox = alice.box.wait(3)
    assert sorted(line for text in inbox for line in text.splitlines() if b"Subject" in line) == [
        b"Subject: five",
        b"Subject: four",
        b"Subject: two",
    ]
    assert [recipients for _sender, recipients in alice.went()] == [(FAR,), (FAR,)]


def test_what_was_found_is_told_to_rules_that_ask(alice: Person, tmp_path: Path) -> None:
    """Blacklists, and the user's own list of senders; who has no such rule is told nothing."""
    alice.system.lists.list(DELEGATED, alice.fresh.ip)
    user, friend = alice.box.user, "friend@sender.example"
    alice.gets("before")
    [before] = alice.box.wait()
    listed = FindingTest("dnsbl/delegated", ("listed",))
    alice.rules(
        tmp_path,
        Rule("known", KnownTest((Book.ALLOW_LIST,)), (Move("Known"), Stop())),
        Rule("listed", listed, (Move("Listed"),)),
        Rule("clean", Group(Quantity.NONE, (listed,)), (Move("Clean"),)),
    )
    alice.system.iems("sender", "allow", user, friend, "--unverified")
    alice.system.reload()  # or the directory's answers are a minute old
    alice.gets("one")
    alice.gets("two", "X-IEMS-Fact: known=allow-list")
    alice.gets("three", sender=friend)
    alice.box.wait(2, folder="Listed")
    [known] = alice.box.wait(folder="Known")
    assert b"X-IEMS-Fact: known=allow-list" in known
    assert b"X-IEMS-Fact" not in before
    assert alice.box.messages("Clean") == []
    assert ends(alice, "status", user)[0] == 0
    told = f"dn: {tree.user_dn(user)}\ndelete: iemsMailsortFacts\n"
    alice.system.slapd.modify(told)
    assert ends(alice, "status", user)[0] == 1
    assert ends(alice, "install", user)[0] == 0
    assert ends(alice, "status", user)[0] == 0


def test_who_stands_in_the_address_book_is_known(alice: Person, tmp_path: Path) -> None:
    """From when the user has put him there, as his mail program does, until it takes him out."""
    user, friend = alice.box.user, "friend@sender.example"
    known = KnownTest((Book.ADDRESS_BOOK,))
    alice.rules(tmp_path, Rule("known", known, (Move("Known"), Stop())))
    alice.system.iems("user", "address-books", alice.fresh.domain)
    alice.system.reload()  # or the directory's answers are a minute old
    mine = tree.bound(alice.system.slapd, tree.user_dn(user), alice.system.password(user))
    dn = f"cn=A friend,{tree.book_dn(user)}"
    person = {"objectClass": "inetOrgPerson", "cn": "A friend", "sn": "Friend"}
    values = {**person, "mail": "Friend@Sender.Example"}
    alice.gets("before", sender=friend)
    alice.box.wait()
    mine.add_s(dn, [(name, [value.encode()]) for name, value in values.items()])
    alice.gets("stranger")
    alice.gets("friend", sender=friend)
    [found] = alice.box.wait(folder="Known")
    assert b"Subject: friend" in found
    assert b"X-IEMS-Fact: known=address-book" in found
    mine.delete_s(dn)
    mine.unbind_s()
    alice.gets("after", sender=friend)
    assert not [one for one in alice.box.wait(3) if b"Subject: friend" in one]


def test_a_sender_who_is_refused_is_told_at_rcpt(alice: Person, tmp_path: Path) -> None:
    """With 550 by his envelope address, whoever stands in From; and no more without the rule."""
    bad = AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("spam@bad.example",))
    worse = AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, ("worse.example",))
    refusing = [Rule(one.values[0], one, (Reject("Go away."),)) for one in (bad, worse)]
    alice.rules(tmp_path, *refusing)
    status = json.loads(alice.system.iems("mailsort", "status", "--json", alice.box.user))
    assert status["refused"] == [".worse.example", "spam@bad.example", "worse.example"]
    alice.system.reload()  # or the directory's answers are a minute old
    for number, sender in enumerate(("spam@bad.example", "x@worse.example", "x@sub.worse.example")):
        assert f"<{alice.box.user}>: Go away.; help: " in alice.gets(
            f"no{number}", sender=sender, code=550
        )
    alice.gets("author", "X-Original-From: x", sender="x@fine.example")
    client = (alice.fresh.ip, "mx.sender.example")
    text = b"From: spam@bad.example\r\nSubject: author\r\n\r\ntext\r\n"
    sent = send(alice.system.port(), SENDER, [alice.box.user], text, client=client)
    assert sent.accepted == (alice.box.user,)
    alice.box.wait(2)
    assert not alice.went()
    alice.rules(tmp_path)
    alice.system.reload()
    alice.gets("yes", sender="spam@bad.example")
    alice.box.wait(3)


def test_each_recipient_s_rule_has_its_own_text_and_the_sender_is_told_it_too_late(
    alice: Person, mailsystem: MailSystem, fresh: Fresh, tmp_path: Path
) -> None:
    """At RCPT; of a text that is not ASCII the site's. Mail of this host gets it in a bounce."""
    sender = f"x@{fresh.domain}.example"
    whole = "I have left, write to bob@else.example 100 %s%n."
    people = [alice, *(person(mailsystem, fresh, name) for name in ("bob", "carol"))]
    texts = (whole.replace(" write", "\r\n write"), "Ich mag das nicht, schön.", "No.")
    bad = AddressTest(Party.ENVELOPE_FROM, Operator.IS, (sender,))
    for one, text in zip(people, texts, strict=True):
        one.rules(tmp_path, Rule("left", bad, (Reject(text),)))
    mailsystem.reload()  # or the directory's answers are a minute old
    client = (fresh.ip, "mx.sender.example")
    message = f"From: {sender}\r\nSubject: to all\r\n\r\ntext\r\n".encode()
    users = [one.box.user for one in people]
    sent = send(mailsystem.port(), sender, users, message, client=client)
    for user, told in zip(users, (whole, BLOCKED.reason, "No."), strict=True):
        reply = sent.recipients[user]
        assert reply.code == 550
        assert reply.text.startswith(f"5.7.1 <{user}>: {told}; help: ")
    reference = sent.recipients[users[0]].text.rpartition("reference ")[2]
    assert whole in json.dumps(mailsystem.why(reference))
    local = send(mailsystem.port("local"), sender, users[:1], message)
    assert local.accepted == (users[0],)
    assert alice.went() == [("", (sender,))]
    assert whole.encode() in b" ".join(mailsystem.sent_out()[-1].message.split())
    assert alice.box.messages() == []


def test_a_reply_is_sent_once(alice: Person, tmp_path: Path) -> None:
    """One to a sender; none to lists, programs and null senders; nothing else changes."""
    alice.rules(tmp_path, Rule("price", about("price"), (Reply("It costs nothing."),)))
    alice.gets("price1")
    alice.gets("price2")
    alice.gets("price3", "List-Id: <list.example>", sender="list@lists.example")
    alice.gets("price4", "Precedence: bulk", sender="bulk@lists.example")
    alice.gets("price5", "Auto-Submitted: auto-generated", sender="robot@lists.example")
    alice.gets("price6", sender="")
    alice.gets("other", sender="other@sender.example")
    alice.box.wait(7)
    assert alice.went() == [("", (SENDER,))]


def test_vacation_by_command(alice: Person) -> None:
    """On, with his alias among the addresses; off keeps the text."""
    user, iems = alice.box.user, alice.system.iems
    ally = alice.system.add_alias(alice.fresh.address("ally"), user)
    told = iems("vacation", "on", user, "--subject", "Away", "--text", "Back on Monday.")
    assert told.decode() == f"installed rules of {user}\n"
    alice.gets("one")
    text = f"From: {SENDER}\r\nTo: {ally}\r\nSubject: two\r\n\r\ntext\r\n".encode()
    client = (alice.fresh.ip, "mx.sender.example")
    send(alice.system.port(), "b@sender.example", [ally], text, client=client)
    alice.box.wait(2)
    assert sorted(alice.went()) == [("", (SENDER,)), ("", ("b@sender.example",))]
    replies = [one.message for one in alice.system.sent_out()[-2:]]
    assert all(b"Back on Monday." in one and b"Subject: Away" in one for one in replies)
    assert all(b"Auto-Submitted: auto-replied" in one for one in replies)
    iems("vacation", "off", user)
    assert not json.loads(iems("vacation", "show", "--json", user))["enabled"]
    alice.gets("three", sender="c@sender.example")
    alice.box.wait(3)
    assert len(alice.went()) == 2
    iems("vacation", "on", user, "--until", "2020-01-01")
    alice.gets("four", sender="d@sender.example")
    alice.box.wait(4)
    assert len(alice.went()) == 2


def test_two_who_answer_and_send_on_to_each_other_stop(
    alice: Person, mailsystem: MailSystem, fresh: Fresh, tmp_path: Path
) -> None:
    """Each gets every message once, and a sender one answer: bob was not written to himself.

    What bob's script sends back to alice is refused, which is a loop to the agent. Where bob is the
    sender, he has her answer and the refusal, which his script sends on once: nobody answers them.
    """
    bob = person(mailsystem, fresh, "bob")
    for one, other in ((alice, bob), (bob, alice)):
        one.rules(
            tmp_path,
            Rule("all", None, (Forward((other.box.user,), keep=True),)),
            vacation=Vacation("I am away."),
        )
    alice.gets("loop")
    alice.box.wait()
    bob.box.wait()
    alice.went()
    domain = fresh.domain.encode()
    about_it = [one.message for one in mailsystem.sent_out() if domain in one.message]
    assert [b"I am away." in one for one in about_it].count(True) == 1
    assert [b"mail loop" in one for one in about_it] == [
        b"I am away." not in one for one in about_it
    ]
    assert len(about_it) == 2
    assert len(alice.box.messages()) == len(bob.box.messages()) == 1
    text = f"To: {alice.box.user}\r\nMessage-ID: <second.{fresh.domain}>\r\n\r\ntext\r\n"
    send(mailsystem.port("local"), bob.box.user, [alice.box.user], text.encode())
    assert len(alice.went()) == 2
    for one in (alice, bob):
        _first, *others = one.box.messages()
        said = [(b"I am away." in text, b"mail loop" in text) for text in others]
        assert sorted(said) == [(False, False), (False, True), (True, False)]
