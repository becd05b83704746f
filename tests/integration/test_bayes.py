"""Filters of users through the whole system: one message, and to each what his own says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from lmtp.bayes import sqlitestore
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.memory import FILE, Memory
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Entry, Kept
from lmtp.bayes.tokens import key, tokens
from lmtp.bayes.training import Trainer
from tests.integration.conftest import Fresh
from tests.integration.stack.ground import AGENT_USER, BAYES_USER, Ground, owned
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import send
from tests.unit.lmtp.judging.conftest import unsalted
from tests.waiting import eventually

SETTINGS = """
[checks.bayes]
mode = "delegate"
[bayes]
store = "{folder}"
"""
NAME = "z-bayes"
"""After all other files."""

SENDER, MX = "a@sender.example", "mx.sender.example"
PILLS = "cheap pills and watches, buy the best replica now with free delivery"
MINUTES = "minutes of our meeting on the budget are in the shared folder, see you on monday"
DAY = 1_800_000_000.0


@dataclass(frozen=True)
class Filters:
    """What users of the system have trained; the files are as the playbook has them."""

    system: MailSystem
    folder: Path
    store: SqliteStore
    minutes: Kept
    pills: Kept

    def user(self, address: str, *policy: str, likes_pills: bool = False) -> Mailbox:
        """One to whom PILLS are spam, or what others throw away, with what that one has learned."""
        learned = self.pills if likes_pills else self.minutes
        assert self.store.save(address, learned, Deadline.after(60))
        return self.system.add_user(address, *policy)

    def told(self, word: str) -> dict[str, list[str]]:
        """By recipient, what `iems why` says of his filter."""
        found: dict[str, list[str]] = {}
        whom = ""
        for line in self.system.iems("why", word).decode().splitlines():
            if not line.startswith(" "):
                whom = line.partition(" for ")[2].partition(":")[0]
            elif "bayes" in line:
                found.setdefault(whom, []).append(line.strip())
        return found


def learned(store: SqliteStore, user: str, spam: str, ham: str) -> Kept:
    """20 messages of each kind, in turn; as that of somebody who begins with it."""
    salt = store.load(user, Deadline.after(60)).salt
    trainer = Trainer(store, CLASSIFIERS[DEFAULT])
    for number in range(20):
        for label, text in ((Label.SPAM, spam), (Label.HAM, ham)):
            one = message(f"{number}.{label.value}@x.test", text)
            features = CLASSIFIERS[DEFAULT].features(tokens(one), salt)
            entry = Entry(key(one), label, DAY, "test", None, features)
            trainer.learn(user, entry, Deadline.after(60))
    return replace(store.load(user, Deadline.after(60)), number=0)


def message(name: str, text: str) -> bytes:
    return f"Message-ID: <{name}>\r\nSubject: hello\r\n\r\n{text}\r\n".encode()


@pytest.fixture(scope="module")
def filters(mailsystem: MailSystem, ground: Ground) -> Iterator[Filters]:
    """A folder that is the agent's by its group alone, and a store that somebody else writes."""
    folder = owned(ground.place("bayes"), BAYES_USER, BAYES_USER, 0o2770)
    store = SqliteStore(folder / sqlitestore.FILE)
    unsalted(store)
    with mailsystem.settings(NAME, SETTINGS.format(folder=folder)):
        minutes = learned(store, "minutes@x.test", PILLS, MINUTES)
        pills = learned(store, "pills@x.test", MINUTES, PILLS)
        yield Filters(mailsystem, folder, store, minutes, pills)
    store.close()


@pytest.mark.timeout(180)
def test_each_recipient_s_own_filter_decides(filters: Filters, fresh: Fresh) -> None:
    system = filters.system
    system.add_domain(fresh.domain)
    alice, bob = (
        filters.user(fresh.address(one), likes_pills=one == "bob") for one in ("alice", "bob")
    )
    tags = filters.user(fresh.address("tags"), "bayes certain choice tag")
    shadow, off = filters.user(fresh.address("shadow")), filters.user(fresh.address("off"))
    new = system.add_user(fresh.address("new"))
    for one in (shadow, off):
        system.iems("user", "set", one.user, "--bayes", one.user.partition("@")[0])
    system.iems("policy", "set", tags.user, "bayes:spam", "tag")
    everybody = [one.user for one in (alice, bob, tags, shadow, off, new)]
    name = f"one.{fresh.domain}@sender.example"
    client = (fresh.ip, MX)
    sent = send(system.port(), SENDER, everybody, message(name, PILLS), client=client)
    assert set(sent.accepted) == set(everybody)

    [junk] = alice.wait(folder="Junk")
    assert b"X-IEMS-Verdict: junk" in junk
    for box in (bob, shadow, off, new):
        [text] = box.wait()
        assert b"X-IEMS-" not in text
    assert b"X-IEMS-Verdict: tag" in tags.wait()[0]
    system.why(f"<{name}>", 7)
    told = filters.told(f"<{name}>")
    [why] = told[alice.user]
    assert re.match(
        r"bayes (spam|certain): junk, chosen by site; (spam|certain), probability ", why
    )
    assert set(PILLS.split()) & set(why.split())
    assert told[bob.user][0].startswith("bayes: ham probability 0.")
    assert f": tag, chosen by user {tags.user}; " in told[tags.user][0]
    assert told[shadow.user][0].startswith("shadow, nothing done: bayes ")
    assert off.user not in told
    assert told[new.user] == ["bayes: untrained not enough data (0 ham, 0 spam)"]
    _remembered(filters, message(name, PILLS), {alice: True, bob: False, shadow: False, new: False})


def _remembered(filters: Filters, text: bytes, boxes: dict[Mailbox, bool]) -> None:
    """The agent, which is not the owner of the folder, has written whom it filed in Junk."""
    memory, soon = Memory(filters.folder / FILE), Deadline.after(60)
    salt = filters.store.load("", soon).salt
    for box, junk in boxes.items():
        seen = memory.recall(box.user, key(text), salt, soon)
        assert seen is not None, box.user
        assert (seen.junk, seen.features != b"") == (junk, True)
    memory.close()
    assert (filters.folder / FILE).owner() == AGENT_USER


@pytest.mark.timeout(180)
def test_a_store_that_cannot_be_read_costs_the_finding_alone(
    filters: Filters, fresh: Fresh
) -> None:
    """And once it can, the filter works again, without a reload."""
    system = filters.system
    system.add_domain(fresh.domain)
    alice = filters.user(fresh.address("alice"))
    filters.store.close()
    numbers = iter(range(1000))

    def arrives() -> str:
        """The action for one more message."""
        name = f"{next(numbers)}.{fresh.domain}@sender.example"
        sent = send(
            system.port(), SENDER, [alice.user], message(name, PILLS), client=(fresh.ip, MX)
        )
        assert sent.accepted == (alice.user,)
        [row] = [one for one in system.why(f"<{name}>", 2) if one["recipient"]]
        return str(row["action"])

    assert arrives() == "junk"
    before = len(system.agent.log("filter is not available").splitlines())
    file = filters.folder / sqlitestore.FILE
    away = file.rename(file.with_suffix(".away"))
    file.touch(mode=0o600)
    assert arrives() == "deliver"
    lines = system.agent.log("filter is not available").splitlines()[before:]
    assert any('cause="store"' in line for line in lines)
    [why] = filters.told(f"<1.{fresh.domain}@sender.example>")[alice.user]
    assert why.startswith("bayes temperror: deliver, chosen by site; what he has trained cannot be")
    away.rename(file)
    eventually(lambda: arrives() == "junk", 60)
    system.postfix.wait_empty()
