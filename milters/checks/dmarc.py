"""`dmarc`: does the domain in From stand behind this message (RFC 9989, before it RFC 7489)?

What `spf` and `dkim` found counts where its domain is aligned with that of From. Mail that fails
has as band what the domain asks for: `reject`, `quarantine` or `none`. `permerror` is a From that
cannot be read or a record without a policy, `temperror` a DNS that did not answer, or a `spf` or
`dkim` that could not tell where it would have made the difference. Who names several domains in
From passes only if all of them stand behind it, and else has the strictest policy of those that do
not. Exempt clients get no finding.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from iems.codec.author import Authors, authors
from iems.codec.dmarc import Policy, Record
from iems.codec.printable import printable
from iems.dns.dmarc import DnsError, Published, Tree
from iems.dns.resolver import Resolver
from iems.dns.suffixes import Suffixes, shared
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, somewhere
from milters.checks.clients import Clients, ClientSettings, clients
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

NAME = "dmarc"
PERMERROR = "permerror"

_IDENTITIES = {"spf": ("smtp.mailfrom", "smtp.helo"), "dkim": ("header.d",)}
"""Check -> the evidence that holds the domain it speaks of, the first that is there."""

_MOST = 20
"""Results that are looked at; each may cost seven questions."""


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.dmarc]` beside mode, default and allow."""


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.dmarc]`; SettingsError names file, key, value, expected."""
    return read.read_table(Settings, options, key, where)


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The check, at the end of the message."""
    rule = clients(tools.site, settings)
    return (Dmarc(rule, tools.resolver, shared()),)


@dataclass(frozen=True, slots=True)
class Dmarc:
    """The check; `draw` gives a number below 100 for `pct`."""

    clients: Clients
    resolver: Resolver
    suffixes: Suffixes
    draw: Callable[[], int] = lambda: secrets.randbelow(100)

    @property
    def name(self) -> str:
        """`dmarc`."""
        return NAME

    @property
    def stage(self) -> Stage:
        """After signatures have been read."""
        return Stage.BODY

    def applies(self, view: View) -> bool:
        """Whether messages of this channel are checked."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Ask for the records of the domains in From."""
        if view.header is None or not self.clients.outside(view):
            return Known()
        return Evaluation(
            self, view, authors([f.value for f in view.header.named(b"from")]), deadline
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one author domain comes to; `policy` is what it asks for, where there is a record."""

    domain: str
    outcome: str
    policy: Policy | None = None
    problem: str = ""


class Evaluation:
    """One message; collected by one thread at a time."""

    def __init__(self, check: Dmarc, view: View, who: Authors, deadline: Deadline) -> None:
        self._check = check
        self._view = view
        self._authors = who
        self._deadline = deadline
        self._findings: tuple[Finding, ...] | None = None
        self._tree = Tree(check.resolver, check.suffixes)
        for domain in who.domains:
            self._tree.ask(domain)

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            verdicts = [self._verdict(domain) for domain in self._authors.domains]
            self._findings = (finding(_decisive(verdicts, self._authors.fault)),)
        return self._findings

    def _verdict(self, domain: str) -> Verdict:
        try:
            published = self._tree.policy(domain, self._deadline)
            if published is None:
                return Verdict(domain, "none")
            if published.record is None:
                problem = f"the record of {published.domain} has no policy that can be read"
                return Verdict(domain, PERMERROR, None, problem)
            return self._judged(domain, published, published.record)
        except DnsError as error:
            return Verdict(domain, TEMPERROR, None, str(error))

    def _judged(self, domain: str, published: Published, record: Record) -> Verdict:
        policy = self._policy(domain, published, record)
        unsure = ""
        for check, strict in (("dkim", record.strict_dkim), ("spf", record.strict_spf)):
            seen = self._view.found(check)
            unsure = unsure or ("" if seen else f"{check} says nothing of this message")
            for one in seen[:_MOST]:
                identity = _identity(one)
                if one.outcome not in {"pass", TEMPERROR} or not identity:
                    continue
                try:
                    aligned = self._aligned(domain, identity, strict=strict)
                except DnsError as error:
                    unsure = str(error)
                    continue
                if aligned and one.outcome == "pass":
                    return Verdict(domain, "pass", policy)
                if aligned:
                    unsure = f"{check} could not be checked now"
        if unsure:
            return Verdict(domain, TEMPERROR, policy, unsure)
        return Verdict(domain, "fail", policy)

    def _policy(self, domain: str, published: Published, record: Record) -> Policy:
        """What the record asks for, for this domain and this message."""
        policy = record.policy
        if published.domain != domain:
            known = record.absent is None or self._tree.exists(domain, self._deadline)
            policy = record.for_subdomain(exists=known)
        if record.testing or (record.share < 100 and self._check.draw() >= record.share):
            return policy.eased()
        return policy

    def _aligned(self, author: str, identity: str, *, strict: bool) -> bool:
        """Whether the domains are one, or by the relaxed rule below one organisational domain."""
        if author == identity:
            return True
        if strict:
            return False
        top = self._tree.organisation(author, self._deadline)
        if identity != top and not identity.endswith(f".{top}"):
            return False
        return self._tree.organisation(identity, self._deadline) == top


def finding(verdict: Verdict) -> Finding:
    """The finding of a verdict."""
    domain, policy = verdict.domain, verdict.policy
    band = verdict.outcome if verdict.outcome in {PERMERROR, TEMPERROR} else ""
    if verdict.outcome == "fail" and policy is not None:
        band = policy.word
    reasons = {
        "fail": f"{domain} does not stand behind this message; its policy is {band}",
        PERMERROR: verdict.problem,
        TEMPERROR: f"whether {domain} stands behind this message cannot be told now",
    }
    told = {
        "header.from": domain,
        "policy.dmarc": policy.word if policy is not None else "",
        "problem": printable(verdict.problem, 200),
    }
    evidence = tuple((name, text) for name, text in told.items() if text)
    return Finding(
        NAME, verdict.outcome, band, printable(reasons.get(verdict.outcome, "")), None, evidence
    )


def _decisive(verdicts: list[Verdict], fault: str) -> Verdict:
    """The one that counts: the strictest failure, then what is not known, then what is missing."""
    order = ["pass", "none", PERMERROR, TEMPERROR, "fail"]
    if fault:
        first = verdicts[0].domain if verdicts else ""
        verdicts = [*verdicts, Verdict(first, PERMERROR, None, fault)]
    return max(verdicts, key=lambda one: (order.index(one.outcome), one.policy or 0))


def _identity(finding: Finding) -> str:
    """The domain that a finding of SPF or DKIM speaks of, in the form in which ours are."""
    evidence = dict(finding.evidence)
    names = _IDENTITIES[finding.check]
    return (
        next((evidence[name] for name in names if name in evidence), "").rpartition("@")[2].lower()
    )
