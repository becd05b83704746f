"""One worker's surroundings without disk, network or clock, and connections into it."""

from __future__ import annotations

import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from iems.directory.toml import TomlDirectory
from iems.model.envelope import Client
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.serve.meter import Meter
from iems.settings.load import from_table
from iems.store.counters import Claim, CountersError
from iems.store.keys import Key, Keyring
from iems.store.records import Record, RecordsError
from iems.store.spool import Spool
from milters.account import Account
from milters.chain import Chain, Runtime
from milters.checks.protocol import Check, Known, Pending, Stage, View

SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
contact = "help@example.test"
[checks.dnsbl.free]
mode = "delegate"
zone = "free.test"
default = { listed = "junk" }
[checks.dnsbl.hard]
mode = "enforce"
zone = "hard.test"
default = { listed = "reject" }
"""
DIRECTORY = """
[domains."example.test"]
[users."alice@example.test"]
policy = { "dnsbl/free" = { listed = "reject" } }
[users."bob@example.test"]
[users."dora@example.test"]
policy = { "dnsbl/free" = { listed = "defer" } }
[users."abuse@example.test"]
policy = { "dnsbl/free" = { listed = "reject" } }
[users."strict@example.test"]
policy = { "dnsbl/*" = { listed = "reject" } }
[aliases]
"both@example.test" = ["alice@example.test", "bob@example.test"]
"two@example.test" = ["alice@example.test", "dora@example.test"]
"postmaster@example.test" = ["alice@example.test"]
"office@example.test" = ["abuse@example.test"]
"away@example.test" = ["someone@elsewhere.example"]
"mixed@example.test" = ["someone@elsewhere.example", "bob@example.test"]
"""
KEY = Key("k1", b"s" * 32)
LISTED = "192.0.2.66"


@dataclass
class ListCheck:
    """A list that knows one client, and is asked at `stage`."""

    name: str
    listed: frozenset[str]
    stage: Stage = Stage.CONNECT

    def applies(self, view: View) -> bool:
        return not view.authenticated

    def start(self, view: View, deadline: Deadline) -> Pending:
        del deadline
        if view.client.ip in self.listed:
            return Known((Finding(self.name, "fail", "listed", f"{view.client.ip} is listed"),))
        return Known((Finding(self.name, "none"),))


@dataclass
class Recorder:
    added: list[Record] = field(default_factory=list)
    committed: list[Record] = field(default_factory=list)
    broken: bool = False

    def add(self, record: Record) -> None:
        self.added.append(record)

    def commit(self, records: Iterable[Record], deadline: Deadline) -> None:
        del deadline
        if self.broken:
            raise RecordsError("disk full")
        self.committed += records


@dataclass
class Log:
    lines: list[Mapping[str, object]] = field(default_factory=list)

    def event(self, reference: str, queue_id: str, **fields: object) -> None:
        self.lines.append({"reference": reference, "queue_id": queue_id, **fields})

    def error(self, text: str, **fields: object) -> None:
        self.lines.append({"error": text, **fields})

    def warning(self, text: str, **fields: object) -> None:
        self.lines.append({"warning": text, **fields})


@dataclass
class Counters:
    """Counts for ever."""

    taken: Counter[str] = field(default_factory=Counter)
    broken: bool = False

    def take(self, claims: Iterable[Claim], deadline: Deadline) -> tuple[float, ...]:
        del deadline
        if self.broken:
            raise CountersError("disk full")
        rows = tuple(claims)
        waits = tuple(one.window if self.taken[one.key] >= one.limit else 0.0 for one in rows)
        if not any(waits):
            self.taken.update(one.key for one in rows)
        return waits

    def peek(self, key: str, window: float, deadline: Deadline) -> int:
        del window, deadline
        if self.broken:
            raise CountersError("disk full")
        return self.taken[key]


class World:
    """One worker's surroundings, and connections into it."""

    def __init__(self, stage: Stage = Stage.CONNECT) -> None:
        self.recorder = Recorder()
        self.log = Log()
        self.meter = Meter()
        self.counters = Counters()
        self.directory = TomlDirectory.parse(DIRECTORY)
        numbers = iter(range(100))
        self.runtime = Runtime(
            settings=from_table(tomllib.loads(SETTINGS)),
            checks=(
                ListCheck("dnsbl/free", frozenset({LISTED}), stage),
                ListCheck("dnsbl/hard", frozenset({"192.0.2.99"}), stage),
            ),
            directory=self.directory,
            keyring=Keyring(KEY, {KEY.id: KEY}),
            spool=Spool(Path(tempfile.gettempdir())),
            account=Account(
                self.recorder,  # type: ignore[arg-type]
                self.log,  # type: ignore[arg-type]
                self.meter,
                lambda: 1_000_000.0,
            ),
            counters=self.counters,  # type: ignore[arg-type]
            new_reference=lambda: f"REF{next(numbers):02}",
        )

    def use(self, *checks: Check) -> None:
        """Run these checks instead."""
        self.runtime = replace(self.runtime, checks=checks)

    def connect(self, ip: str = LISTED, daemon: str = "internet") -> Chain:
        chain = Chain(self.runtime)
        chain.connect(Client(ip, "mx.example"), {"{daemon_name}": daemon})
        chain.helo("mx.example")
        return chain


def rcpt(chain: Chain, *recipients: str) -> list[object]:
    return [chain.rcpt(f"<{one}@example.test>", {}) for one in recipients]


def finish(chain: Chain, *fields: tuple[bytes, bytes]) -> tuple[object, tuple[object, ...]]:
    for name, value in fields:
        chain.header(name, value)
    chain.end_of_headers()
    return chain.end_of_message({"i": "4QueueId"})
