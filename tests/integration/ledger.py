"""Log lines against records: what both daemons say of mail has a record, or is counted as dropped.

The agent has a record for each line. The milter has one for each message that it lets in, and of a
refusal as many as its line says (`verdicts`): one RCPT may reach several policies. A line of a
daemon that could not do what it wanted (`tempfail`) tells of nothing that was done.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from iems.serve.status import published
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.mailsystem import MailSystem
from tests.waiting import eventually

_LINE = re.compile(r"iems-(?:milter|lmtp)\[\d+\]: ([A-Z2-7]{12}) \S+( .*)$")
_FIELD = re.compile(r' (\w+)="((?:[^"\\]|\\.)*)"')
_SETTLED = 25.0
"""Seconds: a record is written a moment later, and what was dropped is published within ten."""

NAMED = {"tag", "junk", "quarantine", "defer", "discard", "reject"}
"""Actions that somebody must have chosen."""

Verdict: TypeAlias = tuple[str, ...]


@dataclass
class Ledger:
    """One daemon's lines and records from now on; nothing may be under way when it is made."""

    daemon: Daemon
    state: Path
    began: int = 0
    last: int = 0
    lost: float = 0.0
    actions: Counter[str] = field(default_factory=Counter)
    """How many records there are of each action."""

    def __post_init__(self) -> None:
        eventually((self.state / "status.json").exists, 20)
        self.began = self.daemon.server.log.stat().st_size
        [[last]] = self._select("max(id)")
        self.last = int(last or 0)
        self.lost = self.dropped()

    def settle(self) -> float:
        """Wait until lines and records agree; how many records were dropped."""
        eventually(lambda: not self._differences(), _SETTLED, lambda: str(self._differences()))
        self.actions = Counter(action for [action] in self._select("action"))
        return self.dropped() - self.lost

    def nameless(self) -> list[str]:
        """Details of records of what was done that do not say by which check, why and whose."""
        rows = self._select("action, details")
        return [told for action, told in rows if action in NAMED and not _named(told)]

    def dropped(self) -> float:
        """How many records the daemon says it has dropped since it was started."""
        counters = published(self.state / "status.json").seen.counters
        return sum(value for (name, _labels), value in counters.items() if "dropped" in name)

    def _differences(self) -> list[str]:
        lines, records = Counter(self._logged()), Counter(self._recorded())
        missing = list((lines - records).elements())
        found = [f"no line of {one}" for one in (records - lines).elements()]
        if len(missing) != self.dropped() - self.lost:
            found.append(f"{len(missing)} without a record, not all of them dropped: {missing[:5]}")
        return found[:10]

    def _recorded(self) -> Iterator[Verdict]:
        columns = ("reference", "stage", "recipient", "action", "reply")
        for row in self._select(", ".join(columns)):
            yield _key(dict(zip(columns, row, strict=True)))

    def _logged(self) -> Iterator[Verdict]:
        with self.daemon.server.log.open("rb") as log:
            log.seek(self.began)
            for line in log:
                match = _LINE.search(line.decode())
                told = dict(_FIELD.findall(match.group(2))) if match else {}
                if match and told.get("action") not in {None, "tempfail"}:
                    one = _key({"stage": "", **told, "reference": match.group(1)})
                    yield from [one] * int(told.get("verdicts", 1))

    def _select(self, columns: str) -> list[tuple[str, ...]]:
        file = f"{(self.state / 'records.sqlite').as_uri()}?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as records:
            question = f"SELECT {columns} FROM record WHERE id > ?"  # noqa: S608 - constants
            return records.execute(question, (self.last,)).fetchall()


def ledgers(system: MailSystem) -> tuple[Ledger, Ledger]:
    """Those of milter and agent."""
    site = system.site
    return Ledger(system.milter, site.milter_state), Ledger(system.agent, site.agent_state)


def _key(told: Mapping[str, str]) -> Verdict:
    """How a verdict is told from others; one of the end of DATA may be about many recipients."""
    reference, action = told["reference"], told["action"]
    if told["stage"] == "end-of-message":
        return reference, "accept" if action == "accept" else "refused"
    if told["stage"] == "rcpt":
        return reference, told["recipient"]
    return reference, told["recipient"], action, told["reply"][:3]


def _named(details: str) -> bool:
    reasons = json.loads(details).get("reasons", [])
    return bool(reasons) and all(
        one["check"]
        and one["band"]
        and one["layer"]
        and isinstance(one["enforced"], bool)
        and (one["reason"] or one["evidence"])
        for one in reasons
    )
