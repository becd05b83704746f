"""`iprev`: does the client's name in the DNS lead back to its address (RFC 8601 section 3)?

The words are those of section 2.7.3: `pass`; `fail`, band `mismatch`, where there is a name and it
leads elsewhere or nowhere; `permerror`, without a band, where there is no name at all (refusing
such clients is Postfix's `reject_unknown_reverse_client_hostname`); `temperror`. Exempt clients get
no finding.

Postfix has asked all this before we hear of the client, to log it and to write it into Received.
Where it tells its result (macro `{client_resolve}`) that is the result, at no question of ours;
what stands in the log, in Received and in our finding is then the same. Where it does not tell, and
for the hop behind a trusted relay, the questions are ours: PTR at once, the addresses of its names
as soon as they are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from iems.codec.printable import printable
from iems.dns.resolver import Answer, Question, Resolver, Rtype, Status
from iems.model.envelope import IpAddress, parse_ip
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, somewhere
from milters.checks.clients import Clients, ClientSettings, clients, stages
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

NAME = "iprev"
MISMATCH = "mismatch"
MTA: Mapping[str, str] = MappingProxyType(
    {"OK": "pass", "FORGED": "fail", "FAIL": "permerror", "TEMP": "temperror"}
)
"""Postfix's words, from its source `smtpd_milter.c`; FORGED also where the name has no address."""

_NAMES = 10
"""Names of one address that are followed, the limit of RFC 7208 section 4.6.4."""

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.iprev]` beside mode, default and allow."""


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.iprev]`; SettingsError names file, key, value, expected."""
    return read.read_table(Settings, options, key, where)


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """One check for direct clients, one more where there are trusted relays."""
    rule = clients(tools.site, settings)
    return tuple(Iprev(stage, rule, tools.resolver) for stage in stages(tools.site))


@dataclass(frozen=True, slots=True)
class Iprev:
    """The check at one stage."""

    stage: Stage
    clients: Clients
    resolver: Resolver

    @property
    def name(self) -> str:
        """`iprev`."""
        return NAME

    def applies(self, view: View) -> bool:
        """Whether clients of this channel are looked up."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Take Postfix's result, or ask."""
        address = self.clients.address(view, self.stage)
        if address is None:
            return Known()
        told = MTA.get(view.resolved) if self.stage is Stage.CONNECT else None
        if told is not None:
            return Known((finding(address, told, view.client.name if told == "pass" else ""),))
        return Lookup(self.resolver, address, deadline)


class Lookup:
    """One address on its way to its names and back; collected by one thread at a time."""

    def __init__(self, resolver: Resolver, address: IpAddress, deadline: Deadline) -> None:
        self._resolver = resolver
        self._address = address
        self._deadline = deadline
        self._forward: list[tuple[str, Question]] = []
        self._findings: tuple[Finding, ...] | None = None
        self._reverse = resolver.ask(address.reverse_pointer, "PTR", self._named)

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            outcome, name = self._outcome()
            self._findings = (finding(self._address, outcome, name),)
        return self._findings

    def _named(self, answer: Answer) -> None:
        """As soon as the names are known their addresses are asked for."""
        rtype: Rtype = "A" if self._address.version == 4 else "AAAA"
        hosts = [name for name in answer.records if _HOST.fullmatch(name)]
        self._forward = [(name, self._resolver.ask(name, rtype)) for name in hosts[:_NAMES]]

    def _outcome(self) -> tuple[str, str]:
        """The word, and the name it is about."""
        reverse = self._reverse.result(self._deadline)
        if not reverse.status.definite:
            return TEMPERROR, ""
        if reverse.status is not Status.FOUND:
            return "permerror", ""
        unknown = False
        for name, question in self._forward:
            answer = question.result(self._deadline)
            if self._address in map(parse_ip, answer.records):
                return "pass", name
            unknown = unknown or not answer.status.definite
        return TEMPERROR if unknown else "fail", reverse.records[0]


def finding(address: IpAddress, outcome: str, name: str) -> Finding:
    """The finding of an outcome of RFC 8601; `name` is the client's, if it has one."""
    shown = printable(name, 255)
    reasons = {
        "pass": "",
        "fail": f"the name of client {address} does not lead back to it",
        "permerror": f"client {address} has no name in the DNS",
        TEMPERROR: f"the name of client {address} cannot be looked up now",
    }
    bands = {"fail": MISMATCH, TEMPERROR: TEMPERROR}
    evidence = (("policy.iprev", str(address)), *((("name", shown),) if shown else ()))
    return Finding(NAME, outcome, bands.get(outcome, ""), reasons[outcome], None, evidence)
