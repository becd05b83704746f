"""`sender`: does the domain of the envelope sender exist, and does it take mail back?

It does where it has an MX, or without one an address of its own (RFC 5321 section 5.1). A domain
that has neither, or that can be none (one without a dot, RFC 7085), is `nodomain`; one that says by
a null MX that it takes no mail (RFC 7505) is `nullmx`; `temperror` where the DNS does not tell. An
address literal is `literal` and has no band: mail can be sent there. The null sender has no
finding. Whether the hosts of an MX answer, and whether they know the address, is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from iems.codec.printable import printable
from iems.dns.resolver import Answer, Question, Resolver, Rtype, Status
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, somewhere
from milters.checks.clients import Clients, ClientSettings, clients, parse_literal
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

NAME = "sender"
NODOMAIN, NULLMX = "nodomain", "nullmx"
_SHOWN = 100
"""Characters of the domain, or of what is no address, that are shown."""

_FALLBACK: tuple[Rtype, ...] = ("A", "AAAA")
"""What stands in for an MX."""


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.sender]` beside mode, default and allow."""


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.sender]`; SettingsError names file, key, value, expected."""
    return read.read_table(Settings, options, key, where)


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """One check; what a trusted relay passes on has the sender that the relay was told."""
    rule = clients(tools.site, settings)
    return (Sender(rule, tools.resolver),)


@dataclass(frozen=True, slots=True)
class Sender:
    """The check."""

    clients: Clients
    resolver: Resolver
    stage: Stage = Stage.MAIL

    @property
    def name(self) -> str:
        """`sender`."""
        return NAME

    def applies(self, view: View) -> bool:
        """Whether senders of this channel are looked up."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Ask for the domain, if there is one to ask for."""
        if not view.envelope_from or self.clients.known(view) is None:
            return Known()
        if view.sender is None:
            return Known((finding(view.envelope_from, NODOMAIN, "cannot be read"),))
        domain = view.sender.domain
        if domain.startswith("["):
            literal = parse_literal(domain)
            if literal is None:
                return Known((finding(domain, NODOMAIN, "is no address literal"),))
            return Known((finding(domain, "literal"),))
        if "." not in domain:
            return Known((finding(domain, NODOMAIN, "is no full domain name"),))
        return Lookup(self.resolver, domain, deadline)


class Lookup:
    """One domain under way; collected by one thread at a time."""

    def __init__(self, resolver: Resolver, domain: str, deadline: Deadline) -> None:
        self._resolver = resolver
        self._domain = domain
        self._deadline = deadline
        self._hosts: list[Question] = []
        self._findings: tuple[Finding, ...] | None = None
        self._exchangers = resolver.ask(domain, "MX", self._answered)

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            self._findings = (finding(self._domain, *self._outcome()),)
        return self._findings

    def _answered(self, answer: Answer) -> None:
        """As soon as it is known that there is no MX, addresses are asked for."""
        if answer.status is Status.NODATA:
            self._hosts = [self._resolver.ask(self._domain, rtype) for rtype in _FALLBACK]

    def _outcome(self) -> tuple[str, str]:
        """The word, and what is wrong."""
        answer = self._exchangers.result(self._deadline)
        if answer.status is Status.FOUND:
            # RFC 7505 section 3: a null MX stands alone; beside others it is none.
            null = all(not record.partition(" ")[2] for record in answer.records)
            return (NULLMX, "takes no mail, as its MX says") if null else ("pass", "")
        if answer.status is Status.NXDOMAIN:
            return NODOMAIN, "does not exist"
        statuses = {question.result(self._deadline).status for question in self._hosts}
        if Status.FOUND in statuses:
            return "pass", ""
        if answer.status is Status.NODATA and all(status.definite for status in statuses):
            return NODOMAIN, "has neither MX nor address"
        return TEMPERROR, "cannot be looked up now"


def finding(sender: str, outcome: str, wrong: str = "") -> Finding:
    """The finding about a domain, or about what stands in the place of one."""
    shown = printable(sender, _SHOWN)
    reason = f"the sender's domain {shown} {wrong}" if wrong else ""
    band = outcome if wrong else ""
    return Finding(NAME, outcome, band, reason, None, (("domain", shown),))
