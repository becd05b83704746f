"""`spf`: may this client send mail of the sender's domain (RFC 7208)?

The domain is that of MAIL FROM, or of HELO where the sender is null. The words are those of RFC
8601 section 2.7.2; `fail`, `softfail`, `permerror` and `temperror` are bands, the others have none.
The record is asked for at MAIL, and evaluated when the finding is first needed. Behind trusted
relays it is the first untrusted hop that is checked, with the HELO that the relay wrote down.
Exempt clients get no finding. What the domain explains is evidence and stands in no reply.
"""

from __future__ import annotations

from dataclasses import dataclass

from iems.codec.printable import printable
from iems.dns.resolver import Resolver
from iems.dns.spf import Evaluation, Identity, Records, Result
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.policy import BANDS
from iems.settings.read import Table, Where, somewhere
from milters.checks.clients import Clients, ClientSettings, clients, stages
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

NAME = "spf"


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.spf]` beside mode, default and allow."""


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.spf]`; SettingsError names file, key, value, expected."""
    return read.read_table(Settings, options, key, where)


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """One check for direct clients, one more where there are trusted relays."""
    site = tools.site
    rule = clients(site, settings)
    records = Records()
    return tuple(
        Spf(stage, rule, tools.resolver, records, site.hostname)
        for stage in stages(site, Stage.MAIL)
    )


@dataclass(frozen=True, slots=True)
class Spf:
    """The check at one stage."""

    stage: Stage
    clients: Clients
    resolver: Resolver
    records: Records
    hostname: str

    @property
    def name(self) -> str:
        """`spf`."""
        return NAME

    def applies(self, view: View) -> bool:
        """Whether clients of this channel are looked up."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Ask for the record of the sender's domain."""
        hop = self.clients.hop(view, self.stage)
        if hop is None:
            return Known()
        identity = Identity.of(hop.address, view.envelope_from, hop.helo, self.hostname)
        evaluation = Evaluation(self.resolver, identity, self.records)
        return Lookup(evaluation, identity, view.envelope_from, deadline)


class Lookup:
    """One sender's record under way; collected by one thread at a time."""

    def __init__(
        self, evaluation: Evaluation, identity: Identity, sender: str, deadline: Deadline
    ) -> None:
        self._evaluation = evaluation
        self._identity = identity
        self._sender = sender
        self._seconds = deadline.remaining()
        self._findings: tuple[Finding, ...] | None = None

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            result = self._evaluation.result(Deadline.after(self._seconds))
            self._findings = (finding(self._identity, self._sender, result),)
        return self._findings


def finding(identity: Identity, sender: str, result: Result) -> Finding:
    """The finding of a result; `sender` is what MAIL said, empty for the null sender."""
    client = str(identity.address)
    domain = identity.domain or printable(sender or identity.helo, 255)
    reasons = {
        "fail": f"client {client} is not allowed to send mail of {domain}",
        "softfail": f"client {client} is probably not allowed to send mail of {domain}",
        "permerror": f"the SPF record of {domain} is not valid",
        TEMPERROR: f"the SPF record of {domain} cannot be looked up now",
    }
    told = {
        "smtp.mailfrom" if sender else "smtp.helo": domain,
        "client": client,
        "mechanism": result.mechanism,
        "problem": result.problem,
        "explanation": result.explanation,
    }
    evidence = tuple((name, text) for name, text in told.items() if text)
    band = result.outcome if result.outcome in BANDS[NAME] else ""
    return Finding(NAME, result.outcome, band, reasons.get(result.outcome, ""), None, evidence)
