"""`exact` with a real Postfix as sender: each is told, and gets, what he would alone.

The sender is a second Postfix, outside of our networks, which comes again for whom it was told 452
a second later; what becomes of each recipient is read from its log, our records and the mailboxes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from iems.store.records import search
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.smtp import send
from tests.waiting import eventually

EXAMPLES = 4
SEED = 4_531
SPLITS = 10
LONELY = "alone@sender.test"
OUTSIDE = "127.0.0.9"
SETTINGS = f"""
exact = true
exact_splits = {SPLITS}
own_networks = ["127.0.0.1/32"]
[checks.header.a]
mode = "delegate"
field = "X-A"
test = "present"
default = {{ matched = "deliver" }}
[checks.header.b]
mode = "delegate"
field = "X-B"
test = "present"
default = {{ matched = "junk" }}
"""
WORDS = ("deliver", "tag", "junk", "quarantine", "discard", "reject")
PLACES = {"deliver": "INBOX", "tag": "INBOX", "junk": "Junk"}
"""Where the copy is by the agent's verdict."""


@dataclass
class Example:
    """One message to some recipients; an alias among them has targets who are not."""

    number: int
    recipients: Mapping[str, tuple[str, ...]]
    boxes: Mapping[str, Mailbox]
    header: str

    @property
    def sender(self) -> str:
        """Nobody else's, so that the sending Postfix's log tells which message it is about."""
        return f"s{self.number}@sender.test"

    def message(self, variant: str) -> bytes:
        """The message; a variant has a Message-ID of its own."""
        head = f"Message-ID: {self.message_id(variant)}\r\n{self.header}"
        return f"{head}To: all\r\nSubject: s\r\n\r\ntext\r\n".encode()

    def message_id(self, variant: str) -> str:
        """By which records and copies are found."""
        return f"<{variant}.{self.number}.{next(iter(self.recipients))}>"


@dataclass(frozen=True)
class Outcome:
    """What the sender was told of each recipient, and what the agent did with it for whom."""

    codes: Mapping[str, int]
    verdicts: Mapping[str, str]


@pytest.fixture(scope="module")
def exact(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """The system with classes kept apart."""
    with mailsystem.settings("exact", SETTINGS):
        yield mailsystem


@pytest.fixture(scope="module")
def sender(ground: Ground, exact: MailSystem) -> Iterator[Postfix]:
    """A Postfix of somebody else, whose own users get its bounces."""
    server = Postfix(
        ground,
        main={
            "myhostname": "mx.sender.test",
            "virtual_mailbox_domains": "sender.test",
            "virtual_mailbox_maps": "static:ok",
            "virtual_transport": "discard:",
            "default_transport": f"smtp:[127.0.0.1]:{exact.port()}",
            "smtpd_relay_restrictions": "permit_mynetworks reject",
            "smtp_bind_address": OUTSIDE,
            # A message may be due less than a second before its time. If its delivery has not let
            # go of it by then, the queue manager skips it and comes again after 300 s.
            "queue_run_delay": "1s",
            "minimal_backoff_time": "2s",
            "maximal_backoff_time": "2s",
        },
        listeners=[Listener("internet", ground.port(), {})],
    )
    with running(server):
        yield server
        server.empty()


def example(system: MailSystem, fresh: Fresh, number: int) -> Example:
    """Four users and an alias for two more, each with a policy of his own."""
    draw = random.Random(SEED + number)
    users = [fresh.address(f"u{number}-{index}") for index in range(6)]
    boxes = {}
    for at, user in enumerate(users):
        # What the agent puts off stays in our queue, so nobody behind the alias does.
        words = (*WORDS, "defer") if at < 4 else WORDS
        lines = [
            f"iemsPolicy: header/{check} matched choice {draw.choice(words)}"
            for check in "ab"
            if draw.random() < 0.8
        ]
        lines += ["iemsSender: block author.test"] if draw.random() < 0.3 else []
        system.slapd.add(tree.user(user, *lines))
        boxes[user] = Mailbox(system.dovecot.imap, user, system.password(user))
    alias = system.add_alias(fresh.address(f"all-{number}"), *users[4:])
    recipients = {user: (user,) for user in users[:4]} | {alias: tuple(users[4:])}
    names = draw.sample(list(recipients), len(recipients))
    found = draw.choice(("X-A: 1\r\n", "X-B: 1\r\n", "X-A: 1\r\nX-B: 1\r\n"))
    author = draw.choice(("author.test", "other.test"))
    header = f"From: joe@{author}\r\n{found}"
    return Example(number, {name: recipients[name] for name in names}, boxes, header)


def told(sender: Postfix, address: str) -> dict[str, int]:
    """The last reply of ours to each recipient of the message from this sender."""
    [queued] = set(re.findall(rf"qmgr\[\d+\]: (\w+): from=<{address}>", sender.log())) or {""}
    codes = {}
    rows = rf" {queued}: to=<([^>]+)>,.* status=(\w+) (\(.*)$"
    for to, status, text in re.findall(rows, sender.log(), re.MULTILINE) if queued else ():
        said = re.search(r" said: (\d{3})", text)
        codes[to] = 250 if status == "sent" else int(said[1]) if said else 0
    return codes


def finished(sender: Postfix, one: Example) -> bool:
    """Whether its Postfix has nobody left for whom it has to come again."""
    codes = told(sender, one.sender)
    return codes.keys() == one.recipients.keys() and 452 not in codes.values()


def outcome(system: MailSystem, one: Example, variant: str, codes: Mapping[str, int]) -> Outcome:
    """What became of it, as soon as every copy that we took has its verdict."""
    finals = {
        final for name, code in codes.items() if code == 250 for final in one.recipients[name]
    }
    files = [system.site.agent_state / "records.sqlite"]
    word = one.message_id(variant)

    def verdicts() -> dict[str, str]:
        return {row.recipient: row.action for row in search(files, word)}

    eventually(lambda: verdicts().keys() == finals, 20, lambda: f"{finals}, but {verdicts()}")
    return Outcome(codes, verdicts())


def alone(system: MailSystem, one: Example) -> Outcome:
    """The same message to each in a transaction of his own."""
    codes = {}
    for name in one.recipients:
        client = (OUTSIDE, "mx.sender.test")
        sent = send(system.port(), LONELY, [name], one.message("alone"), client=client)
        assert sent.data is not None
        codes[name] = sent.data.code
    return outcome(system, one, "alone", codes)


@pytest.mark.timeout(120)
def test_each_outcome_is_that_of_a_transaction_of_his_own(
    exact: MailSystem, sender: Postfix, fresh: Fresh
) -> None:
    exact.add_domain(fresh.domain)
    bounces = exact.postfix.log("sender non-delivery notification")
    examples = [example(exact, fresh, number) for number in range(EXAMPLES)]
    for one in examples:
        send(sender.port(), one.sender, list(one.recipients), one.message("together"))
    expected = [alone(exact, one) for one in examples]
    for one, by_himself in zip(examples, expected, strict=True):
        eventually(partial(finished, sender, one), 40, lambda: sender.log()[-3000:])
        together = outcome(exact, one, "together", told(sender, one.sender))
        assert together == by_himself
        for final, verdict in together.verdicts.items():
            if verdict in PLACES:
                copies = one.boxes[final].headers(PLACES[verdict])
                assert len(copies) == 2, "one by himself, one with others"
    codes = [code for one in expected for code in one.codes.values()]
    assert {250, 450, 550} <= set(codes), "the examples say something"
    assert "452 4.5.3" in sender.log()
    exact.postfix.wait_empty()
    assert exact.postfix.log("sender non-delivery notification") == bounces, "no bounce of ours"


def attempts(system: MailSystem, who: Sequence[str], tries: int) -> list[int]:
    """What the second recipient is told by a sender who always sends to all and then gives up."""
    codes = []
    for _attempt in range(tries):
        client = (OUTSIDE, "mx.sender.test")
        sent = send(system.port(), "s@sender.test", who, b"X-A: 1\r\n\r\nt\r\n", client=client)
        codes.append(sent.recipients[who[1]].code)
    return codes


def strict_and_lax(system: MailSystem, fresh: Fresh) -> list[Mailbox]:
    system.add_domain(fresh.domain)
    strict = system.add_user(fresh.address("strict"), "header/a matched choice reject")
    return [strict, system.add_user(fresh.address("lax"))]


def test_all_workers_count_together_and_then_the_findings_travel(
    exact: MailSystem, fresh: Fresh
) -> None:
    strict, lax = strict_and_lax(exact, fresh)
    who = [strict.user, lax.user]
    assert attempts(exact, who, SPLITS + 1) == [452] * SPLITS + [250]
    lax.wait()
    strict.wait(folder="Junk")


def test_where_nothing_can_be_counted_the_findings_travel(exact: MailSystem, fresh: Fresh) -> None:
    strict, lax = strict_and_lax(exact, fresh)
    before = len(exact.milter.log("nothing can be counted"))
    for suffix in ("", "-wal", "-shm"):
        (exact.site.milter_state / f"counters.sqlite{suffix}").unlink(missing_ok=True)
    (exact.site.milter_state / "counters.sqlite").mkdir()
    try:
        assert attempts(exact, [strict.user, lax.user], 1) == [250]
    finally:
        (exact.site.milter_state / "counters.sqlite").rmdir()
    lax.wait()
    strict.wait(folder="Junk")
    assert len(exact.milter.log("nothing can be counted")) > before
    assert attempts(exact, [strict.user, lax.user], 1) == [452], "and now they can be again"
