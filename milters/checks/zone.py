"""What lists in the DNS have in common (RFC 5782): their zone, their answers, and asking one.

`dnsbl` asks about addresses, `rhsbl` about names, `uribl` about whom the links of a message lead
to; several are one question, and the finding is about the first that is listed. Four ends are told
apart: `listed`, `clear`, `error` (the list answers with an error code, or its server fails) and
`timeout`; a list that is not asked is `aside`. Only `listed` has the band `listed`, the last three
have `temperror`: an error is never a listing. What the list says in its TXT record is evidence if
it came by the time the answer is needed, and nobody waits for it.
"""

from __future__ import annotations

import abc
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from iems.codec.printable import printable
from iems.dns.resolver import Answer, Question, Resolver, Status
from iems.model.address import AddressError, domain_name
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import SettingsError, Table, Where, join, reads, setting
from milters.checks.clients import ClientSettings
from milters.checks.guard import Guard
from milters.checks.protocol import Known, Pending, Tools

LISTED = "listed"
_CODES = ipaddress.IPv4Network("127.0.0.0/8")
"""Where the answers of every list lie (RFC 5782 section 2.1)."""

_TEXT = 200
_SHOWN = 8
"""Characters of the list's own text and codes of its answer that are kept as evidence."""

_LENGTH, _ZONE = 253, 180
"""Characters of a name, and of a zone at most: 64 of reversed nibbles and dots must fit before it.
"""


@reads("list of IPv4 networks")
def _codes(value: object) -> tuple[ipaddress.IPv4Network, ...]:
    found = tuple(one for one in read.networks(value) if isinstance(one, ipaddress.IPv4Network))
    if not found or len(found) != len(read.texts(value)):
        raise ValueError("expected a list of IPv4 networks like 127.0.0.0/24")
    return found


@reads("text of at most 200 ASCII characters")
def _contact(value: object) -> str:
    found = read.text(value)
    if not found.isascii() or len(found) > 200:
        raise ValueError("expected at most 200 ASCII characters")
    return found


@dataclass(frozen=True, slots=True)
class Entries:
    """The test entries of a kind of list: what it must have and must not have, and their names."""

    listed: str
    clear: str
    names: tuple[str, str]


@dataclass(frozen=True, kw_only=True, repr=False)
class ZoneSettings(ClientSettings, abc.ABC):
    """What the table of every list holds; it has no repr because of the zone."""

    zone: str = setting(
        read.text,
        "the zone to ask; it can hold a key and is never shown",
        example='"list.example.org"',
    )
    mask: tuple[ipaddress.IPv4Network, ...] = setting(
        _codes,
        "answers that mean listed",
        _codes(["127.0.0.0/8"]),
        example='["127.0.0.2", "127.0.0.4/30"]',
    )
    errors: tuple[ipaddress.IPv4Network, ...] = setting(
        _codes,
        "answers that mean an error; so does each outside 127.0.0.0/8",
        _codes(["127.0.0.1", "127.255.255.0/24"]),
    )
    health: str = setting(
        read.one_of("rfc5782", "any-answer", "off"), "how the list is tested", "rfc5782"
    )
    contact: str = setting(
        _contact,
        "instead of the site's `contact` in a refusal",
        "",
        example='"https://list.example.org/removal"',
    )

    @abc.abstractmethod
    def entries(self) -> Mapping[str, Entries]:
        """What the list is tested with, by kind; each kind is set aside on its own."""


S = TypeVar("S", bound=ZoneSettings)


def parse(kind: type[S], options: Table, key: str, where: Where) -> S:
    """The options of a list; SettingsError names file, key, value, expected.

    A zone that is no domain name is not quoted in the error.
    """
    try:
        zone = domain_name(read.text(options.get("zone")))
    except (AddressError, ValueError):
        zone = ""
    if not zone or len(zone) > _ZONE:
        path = join(key, "zone")
        raise SettingsError(
            [
                f"{where(path)}: {path} is missing or no zone (not shown, it can hold a key); "
                f"expected a domain name of at most {_ZONE} characters"
            ]
        )
    return read.read_table(kind, {**options, "zone": zone}, key, where)


def outcome(settings: ZoneSettings, answer: Answer) -> str:
    """What an answer means: `listed`, `clear`, `error` or `timeout`."""
    if answer.status is Status.TIMEOUT:
        return "timeout"
    if not answer.status.definite:
        return "error"
    if not answer.records:
        return "clear"
    codes = [ipaddress.IPv4Address(record) for record in answer.records]
    if any(code not in _CODES or _within(code, settings.errors) for code in codes):
        return "error"
    return LISTED if any(_within(code, settings.mask) for code in codes) else "clear"


def _within(code: ipaddress.IPv4Address, networks: tuple[ipaddress.IPv4Network, ...]) -> bool:
    return any(code in network for network in networks)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a list is asked about, and its `name` below the zone.

    What is told of it: the kind of its test entries, its evidence, and its words.
    """

    kind: str
    name: str
    evidence: tuple[str, str]
    words: str


@dataclass(frozen=True, slots=True)
class Zone:
    """One list; `check` is the name of its findings, `key` the one of its health.

    `patience` are the seconds that all questions about one message have together from when the
    answers are needed: a dead list would else have half a time-out more for each of them.
    """

    check: str
    label: str
    key: str
    settings: ZoneSettings
    resolver: Resolver
    guard: Guard
    patience: float

    def holds(self, name: str) -> bool:
        """Whether this name fits before the zone."""
        return len(name) + 1 + len(self.settings.zone) <= _LENGTH

    def ask(self, subjects: Iterable[Subject], deadline: Deadline) -> Pending:
        """Ask about all of them, one at least, but where the list is set aside for their kind."""
        asked, aside = [], []
        for subject in subjects:
            reason = self.guard.reason(self.key, subject.kind)
            if reason:
                aside.append(self.unknown(subject, "aside", reason))
            else:
                asked.append(subject)
        return Lookup(self, asked, deadline, aside) if asked else Known(tuple(aside[:1]))

    def unknown(self, subject: Subject, outcome: str, reason: str) -> Finding:
        """The finding where the list does not tell whether it has the subject."""
        text = f"list {self.label} says nothing of {subject.words}: {reason}"
        return Finding(self.check, outcome, TEMPERROR, text, None, self.evidence(subject))

    def evidence(self, subject: Subject, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """What every finding with a band carries, and more."""
        contact = (("contact", self.settings.contact),) if self.settings.contact else ()
        return (subject.evidence, *contact, *more)


def zone_of(check: str, label: str, key: str, settings: ZoneSettings, tools: Tools) -> Zone:
    """The list, as it is asked on this site."""
    return Zone(check, label, key, settings, tools.resolver, tools.guard, tools.site.dns.timeout)


class Lookup:
    """Questions to one list, and one finding; collected by one thread at a time."""

    def __init__(
        self, zone: Zone, subjects: list[Subject], deadline: Deadline, aside: list[Finding]
    ) -> None:
        self._zone = zone
        self._deadline = deadline
        self._aside = aside
        self._findings: tuple[Finding, ...] | None = None
        self._asked = [_Asked(zone, subject) for subject in subjects]

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            self._findings = (self._finding(),)
        return self._findings

    def _finding(self) -> Finding:
        """Of the first subject that is listed, else of the first of which nothing is known."""
        zone = self._zone
        deadline = self._deadline.sooner(zone.patience)
        answers = [(one, one.question.result(deadline)) for one in self._asked]
        words = [outcome(zone.settings, answer) for _one, answer in answers]
        if any(word != "timeout" for word in words):
            zone.guard.answered(zone.key)
        else:
            zone.guard.timed_out(zone.key)
        for sought in (LISTED, "error", "timeout"):
            if sought in words:
                one, answer = answers[words.index(sought)]
                return one.finding(sought, answer)
        return self._aside[0] if self._aside else Finding(zone.check, "clear")


class _Asked:
    """One subject of a lookup."""

    def __init__(self, zone: Zone, subject: Subject) -> None:
        self._zone = zone
        self._subject = subject
        self._text: Question | None = None
        self._name = f"{subject.name}.{zone.settings.zone}"
        self.question = zone.resolver.ask(self._name, "A", self._answered)

    def _answered(self, answer: Answer) -> None:
        """As soon as a listing is known its text is asked for, while SMTP goes on."""
        if outcome(self._zone.settings, answer) == LISTED:
            self._text = self._zone.resolver.ask(self._name, "TXT")

    def finding(self, word: str, answer: Answer) -> Finding:
        """What is found where the answer is not that the list is clear of it."""
        zone, subject = self._zone, self._subject
        codes = " ".join(answer.records[:_SHOWN])
        if word == "timeout":
            return zone.unknown(subject, word, "no answer in time")
        if word == "error":
            said = f"its answer is {codes}" if codes else f"its server says {answer.status.value}"
            return zone.unknown(subject, word, said)
        reason = f"{subject.words} is listed by {zone.label}"
        evidence = zone.evidence(subject, ("answers", codes), *self._said())
        return Finding(zone.check, LISTED, LISTED, reason, None, evidence)

    def _said(self) -> tuple[tuple[str, str], ...]:
        """What the list says of the subject, if it is here by now; without the list's zone."""
        answer = self._text.result(Deadline.after(0.0)) if self._text is not None else None
        if answer is None or not answer.records:
            return ()
        zone = re.escape(self._zone.settings.zone)
        hidden = re.sub(zone, self._zone.label, answer.records[0], flags=re.IGNORECASE)
        return (("text", printable(hidden, _TEXT)),)
