"""Users with filters that have been trained, and an agent that asks them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.serve.meter import Meter, series
from iems.settings.policy import missing_findings
from iems.store.records import Record
from lmtp.bayes import sqlitestore
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import SALT, Entry, Store
from lmtp.bayes.tokens import key, tokens
from lmtp.bayes.training import Trainer
from lmtp.judging import Judge
from tests.unit.lmtp.conftest import NOW, Office, settings

USERS = """
[domains."b.test"]
[users."alice@b.test"]
[users."bob@b.test"]
[users."fresh@b.test"]
[users."off@b.test"]
bayes = "off"
[users."shadow@b.test"]
bayes = "shadow"
[users."strict@b.test"]
policy = { bayes = { spam = "quarantine", certain = "quarantine" } }
[users."fan@b.test"]
senders = ["allow s@x.test unverified"]
[users."refuses@b.test"]
policy = { bayes = { spam = "reject", certain = "reject" } }
[aliases]
"both@b.test" = ["alice@b.test", "bob@b.test"]
[lists."both@b.test"]
"""
SPAMMED = ("alice", "off", "shadow", "strict", "fan", "refuses")
"""To whom the mail of these tests is spam; to bob it is none."""

PILLS = b"\r\ncheap pills and watches, buy them now\r\n"
MINUTES = b"\r\nminutes of the meeting\r\n"
SALT_OF = "alice@b.test"


def soon() -> Deadline:
    return Deadline.after(60)


def text(number: int, body: bytes) -> bytes:
    return b"Message-ID: <%d@x.test>\r\nSubject: x\r\n%s" % (number, body)


def train(store: Store, user: str, label: Label, body: bytes, number: int = 0) -> None:
    """Show it one message of a kind."""
    message = text(number, body + b"word%d\r\n" % number)
    salt = store.load(user, soon()).salt
    features = CLASSIFIERS[DEFAULT].features(tokens(message), salt)
    entry = Entry(key(message) + label.value.encode(), label, float(NOW), "test", None, features)
    Trainer(store, CLASSIFIERS[DEFAULT]).learn(user, entry, soon())


def train_both(store: Store, user: str, spam: bytes, ham: bytes) -> None:
    """Show it 40 messages of each kind, in turn."""
    for number in range(40):
        train(store, user, Label.SPAM, spam, number)
        train(store, user, Label.HAM, ham, number)


@dataclass(frozen=True)
class Filters:
    """An office whose users have filters, and what is kept of them."""

    office: Office
    store: SqliteStore
    memory: Memory
    meter: Meter
    folder: Path

    @property
    def judge(self) -> Judge:
        assert self.office.agent.judge is not None
        return self.office.agent.judge

    def with_judge(self, **changes: Any) -> Filters:  # noqa: ANN401 - fields of a Judge
        agent = replace(self.office.agent, judge=replace(self.judge, **changes))
        return replace(self, office=replace(self.office, agent=agent))

    def deliver(
        self,
        *users: str,
        body: bytes = PILLS,
        findings: Sequence[Finding] = (),
        channel: str = "internet",
        client: str = "192.0.2.1",
        ident: str = "4XyZ",
    ) -> list[str]:
        return self.office.deliver(
            *users, body=body, findings=findings, channel=channel, client=client, ident=ident
        )

    def actions(self) -> dict[str, str]:
        """What was done for each recipient so far."""
        return {one.recipient.partition("@")[0]: one.action for one in self.office.records()}

    def found(self, user: str) -> dict[str, Any]:
        """The last finding that the record of this user has."""
        [*_, record] = [one for one in self.office.records() if one.recipient == f"{user}@b.test"]
        found = [one for one in rows(record, "findings") if one["check"] == "bayes"]
        assert len(found) <= 1
        return found[0] if found else {}

    def failures(self, cause: str) -> float:
        counted = self.meter.snapshot().counters
        return counted.get(series("bayes_failures_total", {"cause": cause}), 0.0)

    def judged(self, verdict: str) -> float:
        counted = self.meter.snapshot().counters
        return counted.get(series("bayes_total", {"verdict": verdict}), 0.0)

    def remembered(self, user: str) -> Seen | None:
        body = b"Message-ID: <m@x.test>\r\nSubject: x\r\n" + PILLS
        salt = self.store.load(SALT_OF, soon()).salt
        return self.memory.recall(f"{user}@b.test", key(body), salt, soon())


def rows(record: Record, name: str) -> list[dict[str, Any]]:
    found = record.details.get(name, [])
    assert isinstance(found, list)
    return found


def judge_of(
    office: Office, folder: Path, meter: Meter, server: str = "", **table: object
) -> tuple[Office, Judge]:
    """The office under these settings of the check, and its judge."""
    check = {"mode": "delegate", **table}
    checks = {"bayes": check, "dnsbl": {"one": {"mode": "delegate"}}}
    made = settings(checks=checks, bayes={"store": str(folder), "server": server})
    judge = Judge.of(made, office.log, meter)
    assert judge is not None
    origin = replace(office.agent.origin, missing=missing_findings(made.checks))
    agent = replace(
        office.agent,
        settings=made,
        directory=TomlDirectory.parse(USERS),
        origin=origin,
        judge=judge,
        meter=meter,
    )
    return replace(office, agent=agent), judge


def unsalted(store: SqliteStore) -> None:
    """In every run the same words fall together, and speak as much."""
    store.load("", soon())
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute("UPDATE salt SET salt = ?", (b"s" * SALT,))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with filters that have been trained."""
    folder = tmp_path_factory.mktemp("trained")
    store = SqliteStore(folder / sqlitestore.FILE)
    unsalted(store)
    train_both(store, "alice@b.test", PILLS, MINUTES)
    train_both(store, "bob@b.test", MINUTES, PILLS)
    learned = store.load(SALT_OF, soon())
    for user in SPAMMED:
        store.save(f"{user}@b.test", replace(learned, number=0), soon())
    store.close()
    return folder


@pytest.fixture
def filters(office: Office, trained: Path, tmp_path: Path) -> Iterator[Filters]:
    """The same for one test."""
    folder, meter = tmp_path / "bayes", Meter()
    shutil.copytree(trained, folder)
    made, judge = judge_of(office, folder, meter)
    assert isinstance(judge.store, SqliteStore)
    assert judge.memory is not None
    yield Filters(made, judge.store, judge.memory, meter, folder)
    judge.store.close()
    judge.memory.close()
