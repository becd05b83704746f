"""`helo`: does the client call itself by a name that is one, and his (RFC 5321 section 2.3.5)?

It is a fully qualified domain name that the DNS knows, or an address literal, and it is not ours.
What breaks the syntax is `syntax`; our own names, and literals of our own networks, are `ours`; a
name with neither address nor MX is `unresolvable`; `temperror` where the DNS does not tell. The
name that Postfix found for the client and believes is one that resolves, and costs no question.
Only direct clients are looked at, and what a client's address has to do with the name is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from iems.codec.printable import printable
from iems.dns.resolver import Answer, Question, Resolver, Rtype, Status
from iems.model.envelope import IpAddress
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, setting, somewhere
from milters.checks.clients import Clients, ClientSettings, clients, parse_literal
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

NAME = "helo"
OURS, SYNTAX, UNRESOLVABLE = "ours", "syntax", "unresolvable"
_SHOWN = 100
"""Characters of the name that are shown."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.(?![0-9]+\Z){_LABEL}")
"""Two labels at least; the last one is no number, as RFC 1123 section 2.1 has it, so that no bare
address passes for a name."""

_FALLBACK: tuple[Rtype, ...] = ("AAAA", "MX")
"""What is asked for where the name has no A."""

_WORDS: Mapping[Status, str] = MappingProxyType(
    {Status.FOUND: "pass", Status.NXDOMAIN: UNRESOLVABLE}
)


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.helo]` beside mode, default and allow."""

    ours: tuple[str, ...] = setting(
        read.host_names,
        "names beside `hostname` that no client from outside may use",
        (),
        example='["example.org", "mx2.example.org"]',
    )


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.helo]`; SettingsError names file, key, value, expected."""
    return read.read_table(Settings, options, key, where)


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """One check."""
    rule = clients(tools.site, settings)
    ours = frozenset({tools.site.hostname, *settings.ours})
    return (Helo(rule, ours, tools.resolver),)


@dataclass(frozen=True, slots=True)
class Helo:
    """The check; `names` are ours."""

    clients: Clients
    names: frozenset[str]
    resolver: Resolver
    stage: Stage = Stage.HELO

    @property
    def name(self) -> str:
        """`helo`."""
        return NAME

    def applies(self, view: View) -> bool:
        """Whether clients of this channel are looked at."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Judge the name, or ask for it."""
        address = self.clients.direct(view)
        if address is None:
            return Known()
        told = view.helo.lower().removesuffix(".")
        outcome = self._outcome(told, view)
        if outcome:
            return Known((finding(address, view.helo, outcome),))
        return Lookup(self.resolver, address, told, deadline)

    def _outcome(self, name: str, view: View) -> str:
        """What is known without a question; empty where one is needed."""
        literal = parse_literal(view.helo)
        if name in self.names or (literal is not None and self.clients.ours(literal)):
            return OURS
        if literal is not None:
            return "pass"
        if not full_name(view.helo):
            return SYNTAX
        believed = view.resolved == "OK" and name == view.client.name.lower().removesuffix(".")
        return "pass" if believed else ""


class Lookup:
    """One name under way; collected by one thread at a time."""

    def __init__(
        self, resolver: Resolver, address: IpAddress, name: str, deadline: Deadline
    ) -> None:
        self._resolver = resolver
        self._address = address
        self._name = name
        self._deadline = deadline
        self._more: list[Question] = []
        self._findings: tuple[Finding, ...] | None = None
        self._first = resolver.ask(name, "A", self._answered)

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            self._findings = (finding(self._address, self._name, self._outcome()),)
        return self._findings

    def _answered(self, answer: Answer) -> None:
        """A name without an address of IPv4 may have others."""
        if answer.status is Status.NODATA:
            self._more = [self._resolver.ask(self._name, rtype) for rtype in _FALLBACK]

    def _outcome(self) -> str:
        first = self._first.result(self._deadline).status
        if first is not Status.NODATA:
            return _WORDS.get(first, TEMPERROR)
        statuses = {question.result(self._deadline).status for question in self._more}
        if Status.FOUND in statuses:
            return "pass"
        definite = all(status.definite for status in statuses)
        return UNRESOLVABLE if definite else TEMPERROR


def full_name(helo: str) -> str:
    """The name as it is asked for; empty where it is no full domain name."""
    name = helo.lower().removesuffix(".")
    return name if _DOMAIN.fullmatch(name) else ""


def finding(address: IpAddress, helo: str, outcome: str) -> Finding:
    """The finding of an outcome."""
    name = printable(helo, _SHOWN)
    reasons = {
        "pass": "",
        OURS: f"client {address} calls itself {name}, which is a name of this site",
        SYNTAX: f"client {address} calls itself {name}, which is no full domain name",
        UNRESOLVABLE: f"client {address} calls itself {name}, which the DNS does not know",
        TEMPERROR: f"the name {name} of client {address} cannot be looked up now",
    }
    band = "" if outcome == "pass" else outcome
    evidence = (("client", str(address)), ("helo", name))
    return Finding(NAME, outcome, band, reasons[outcome], None, evidence)
