"""Many users, aliases, domains or policies at once: what the rows want, and what is done for it.

A row says what shall stand in an entry: what is so already is left, what differs is changed, what
is missing is made. So the same input a second time changes nothing, and one that was cut off goes
on. A column that is not there leaves its attribute alone; a password counts for new users only, for
nobody can read the one that is there. Every row that cannot be is a `Fault`, and keeps no other
from being done. One search and one round of writes serve a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from iems.directory.admin import Admin
from iems.directory.authority import NotAuthorisedError
from iems.directory.ldif import Fault
from iems.directory.policy import bands, forbidden_by
from iems.directory.rows import Read, Wanted
from iems.directory.store import EntryExistsError, Name, NoEntryError, Row, Write, differences
from iems.directory.table import Line
from iems.directory.tree import DOMAIN_NAME, domain_entry, read_layer, user_named
from iems.model.policy import Kind, Layer, Subject
from iems.serve.deadline import Deadline

BATCH = 200
"""Rows of one search and one round of writes; slapd takes 1,000 operations of a connection at
once (olcConnMaxPendingAuth)."""

_BATCH_TIME = 120.0
"""Seconds for the writes of a batch: 200 hashes of ARGON2 take 4 s of a slow machine."""


@dataclass
class Summary:
    """How many rows there were so far, and what became of them."""

    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    faults: list[Fault] = field(default_factory=list)


class Policies:
    """Whether the site and the domain allow what a row chooses."""

    def __init__(self, admin: Admin, site: Layer) -> None:
        self._admin = admin
        self._site = site
        self._domains: dict[str, Layer] = {}

    def judge(self, layer: Layer) -> None:
        """ValueError where a choice of this layer is forbidden, or about a check that is none."""
        above = [self._site]
        if layer.subject.kind is Kind.USER:
            above.append(self._domain(layer.subject.name.rpartition("@")[2]))
        known = bands([*above, layer])
        for (check, band), rule in layer.rules.items():
            if (check, band) not in known and not check.endswith("/*"):
                raise ValueError(f"policy: no check {check}:{band}")
            if rule.choice is None:
                continue
            forbids = forbidden_by(check, band, rule.choice, [*above, layer])
            if forbids is not None:
                raise ValueError(f"policy: {forbids} forbids {rule.choice.word} for {check}:{band}")

    def _domain(self, name: str) -> Layer:
        if name not in self._domains:
            subject = Subject(Kind.DOMAIN, name)
            try:
                row = self._admin.subject(subject)
                self._domains[name] = read_layer(row, subject, lambda _fault: None)
            except NoEntryError:  # which is told where its row is carried out
                self._domains[name] = Layer(subject)
        return self._domains[name]


class Import:
    """The rows of one kind on their way into the directory; with `dry_run` not into it."""

    def __init__(self, admin: Admin, site: Layer, read: Read, *, dry_run: bool) -> None:
        self.summary = Summary()
        self._admin = admin
        self._policies = Policies(admin, site)
        self._read = read
        self._dry_run = dry_run
        self._seen: set[int] = set()
        self._made: set[str] = set()

    def run(self, lines: Iterable[Line | Fault]) -> Iterator[Summary]:
        """Do what the rows want, and tell after each batch how far it is."""
        rows = iter(lines)
        while batch := list(itertools.islice(rows, BATCH)):
            self.summary.read += len(batch)
            self.summary.faults += [one for one in batch if isinstance(one, Fault)]
            found = (self._wanted(one) for one in batch if isinstance(one, Line))
            self._do([pair for pair in found if pair is not None])
            yield self.summary

    def _wanted(self, line: Line) -> tuple[int, Wanted] | None:
        try:
            return line.number, self._checked(line)
        except ValueError as error:
            self._fault(line.number, str(error))
            return None

    def _checked(self, line: Line) -> Wanted:
        wanted = self._read(self._with_subject(line))
        if line.dn and _plain(self._admin.named(line.dn)) != _plain(wanted.name):
            raise ValueError(f"{line.dn.decode(errors='replace')} is not its name")
        if wanted.layer is not None:
            self._policies.judge(wanted.layer)
        # The hash of a name is kept and not the name: 100 bytes for each of a million rows.
        key = hash(wanted.thing)
        if key in self._seen:
            raise ValueError(f"{wanted.thing} comes a second time")
        self._seen.add(key)
        return wanted

    def _with_subject(self, line: Line) -> Line:
        """The row of LDIF with what its name tells; in CSV a column does."""
        if not line.dn:
            return line
        name = self._admin.named(line.dn)
        subject = user_named(name) or (name[0][1] if name else "")
        return Line(line.number, {**line.values, "subject": [subject]}, line.dn)

    def _do(self, batch: Sequence[tuple[int, Wanted]]) -> None:
        """First the entries of the rows, then what comes after each: domains before aliases."""
        outcomes = self._round(batch)
        self._made |= {
            one.thing.name
            for number, one in batch
            if one.thing.kind == "domain" and outcomes[number]
        }
        after = [(number, one) for number, wanted in batch for one in wanted.then]
        after = [(number, one) for number, one in after if outcomes[number]]
        for number, outcome in self._round(after).items() if after else ():
            outcomes[number] = _joined(outcomes[number], outcome)
        for outcome in outcomes.values():
            if outcome:
                setattr(self.summary, outcome, getattr(self.summary, outcome) + 1)

    def _round(self, batch: Sequence[tuple[int, Wanted]]) -> dict[int, str]:
        """What became of each row: `added`, `changed`, `unchanged`, or nothing with a fault."""
        present, domains = self._present([one for _number, one in batch])
        outcomes: dict[int, str] = {}
        writes: list[tuple[int, Wanted, Write]] = []
        for number, one in batch:
            row = present.get(one.name)
            changes = differences(row.attributes, one.wanted) if row else {}
            if row is None and (one.new is None or _domain(one) not in domains):
                self._fault(number, _missing(one))
                outcomes[number] = ""
            elif row is None:
                made = {
                    **(one.new or {}),
                    **{key: value for key, value in one.wanted.items() if value},
                }
                outcomes[number] = _joined(outcomes.get(number, "unchanged"), "added")
                writes.append((number, one, Write(one.name, made)))
            elif changes:
                outcomes[number] = _joined(outcomes.get(number, "unchanged"), "changed")
                writes.append((number, one, Write(one.name, None, changes)))
            else:
                outcomes.setdefault(number, "unchanged")
        for number in self._write(writes):
            outcomes[number] = ""
        return outcomes

    def _present(self, batch: Sequence[Wanted]) -> tuple[dict[Name, Row], set[str]]:
        """Those of these entries that are there, and the domains of ours among all of theirs."""
        names = {_domain(one) for one in batch}
        pairs = {one.pair for one in batch} | {(DOMAIN_NAME, name) for name in names}
        rows = {_plain(row.name): row for row in self._admin.rows(*sorted(pairs))}
        domains = {name for name in names if _plain(domain_entry(name)) in rows}
        # A domain that a row makes stands for itself, and in a dry run for what is in it.
        domains |= self._made | {_domain(one) for one in batch if one.thing.kind == "domain"}
        found = ((one.name, rows.get(_plain(one.name))) for one in batch)
        return {name: row for name, row in found if row is not None}, domains

    def _write(self, writes: Sequence[tuple[int, Wanted, Write]]) -> Iterator[int]:
        """Write, and give the numbers of the rows that could not be."""
        allowed = []
        for number, one, write in writes:
            try:
                self._admin.authorise("set" if write.attributes is None else "add", one.thing)
                allowed.append((number, one, write))
            except NotAuthorisedError as error:
                self._fault(number, str(error))
                yield number
        if self._dry_run or not allowed:
            return
        pairs = [(one.thing, write) for _number, one, write in allowed]
        results = self._admin.write(pairs, Deadline.after(_BATCH_TIME))
        for (number, one, _write), result in zip(allowed, results, strict=True):
            if result is not None:
                self._fault(number, _refused(one, result))
                yield number

    def _fault(self, number: int, text: str) -> None:
        self.summary.faults.append(Fault(number, text))


def _domain(one: Wanted) -> str:
    return one.thing.domain


def _plain(name: Name) -> Name:
    return tuple((attribute.lower(), value.lower()) for attribute, value in name)


def _joined(one: str, other: str) -> str:
    """What became of a row of several entries."""
    order = ("", "added", "changed", "unchanged")
    return min(one, other, key=order.index)


def _missing(one: Wanted) -> str:
    return f"no {one.thing}" if one.new is None else f"no domain {_domain(one)}"


def _refused(one: Wanted, error: Exception) -> str:
    if isinstance(error, EntryExistsError):
        return f"{one.thing} was made by somebody else meanwhile"
    if isinstance(error, NoEntryError):
        return _missing(one)
    return f"the directory refuses: {error}"
