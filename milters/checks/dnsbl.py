"""`dnsbl/<label>`: is the client on a DNS blacklist (RFC 5782)?

The question leaves at CONNECT and the answer is collected when it is first needed. Four ends are
told apart: `listed`, `clear`, `error` (the list answers with an error code, or its server fails)
and `timeout`; a list that is not asked is `aside`. Only `listed` has the band `listed`, the last
three have `temperror`: an error is never a listing. Exempt clients get no finding at all. What the
list says in its TXT record is evidence if it came by the time the answer is needed, and nobody
waits for it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.dns.resolver import Answer, Question, Resolver, Status
from iems.model.address import AddressError, domain_name
from iems.model.envelope import INTERNET
from iems.model.finding import TEMPERROR, Finding
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import (
    SettingsError,
    Table,
    Where,
    join,
    reads,
    setting,
    somewhere,
)
from milters.checks.clients import Address, Clients, clients, stages
from milters.checks.guard import Guard
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View

LISTED = "listed"
FAMILIES = ("ipv4", "ipv6")
_CODES = ipaddress.IPv4Network("127.0.0.0/8")
"""Where the answers of every list lie (RFC 5782 section 2.1)."""

_TEXT = 200
_SHOWN = 8
"""Characters of the list's own text and codes of its answer that are kept as evidence."""

_ZONE = 180
"""Characters of a zone at most: 64 of reversed nibbles and dots before it must fit into 253."""


@reads("list of IPv4 networks")
def _codes(value: object) -> tuple[ipaddress.IPv4Network, ...]:
    found = tuple(one for one in read.networks(value) if isinstance(one, ipaddress.IPv4Network))
    if not found or len(found) != len(read.texts(value)):
        raise ValueError("expected a list of IPv4 networks like 127.0.0.0/24")
    return found


@reads("list of `ipv4`, `ipv6`")
def _families(value: object) -> tuple[str, ...]:
    found = read.texts(value)
    if not found or set(found) - set(FAMILIES):
        raise ValueError(f"expected a list of {', '.join(FAMILIES)}")
    return found


@reads("text of at most 200 ASCII characters")
def _contact(value: object) -> str:
    found = read.text(value)
    if not found.isascii() or len(found) > 200:
        raise ValueError("expected at most 200 ASCII characters")
    return found


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """`[checks.dnsbl.LABEL]` beside mode, default and allow; it has no repr because of the zone."""

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
    families: tuple[str, ...] = setting(_families, "addresses the list knows", FAMILIES)
    channels: tuple[str, ...] = setting(
        read.texts, "source channels whose clients are looked up", (INTERNET,)
    )
    exempt_authenticated: bool = setting(
        read.flag, "whether authenticated clients are left out", default=True
    )
    contact: str = setting(
        _contact,
        "instead of the site's `contact` in a refusal",
        "",
        example='"https://list.example.org/removal"',
    )


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.dnsbl.LABEL]`; SettingsError names file, key, value, expected.

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
    return read.read_table(Settings, {**options, "zone": zone}, key, where)


def question(address: Address, zone: str) -> str:
    """The name to ask for (RFC 5782 sections 2.1 and 2.4)."""
    return f"{address.reverse_pointer.rsplit('.', 2)[0]}.{zone}"


def family(address: Address) -> str:
    """One of `FAMILIES`."""
    return f"ipv{address.version}"


def outcome(settings: Settings, answer: Answer) -> str:
    """What an answer means: `listed`, `clear`, `error` or `timeout`."""
    if answer.status is Status.TIMEOUT:
        return "timeout"
    if not answer.status.definite:
        return "error"
    codes = [ipaddress.IPv4Address(record) for record in answer.records]
    if any(code not in _CODES or _within(code, settings.errors) for code in codes):
        return "error"
    return LISTED if any(_within(code, settings.mask) for code in codes) else "clear"


def _within(code: ipaddress.IPv4Address, networks: tuple[ipaddress.IPv4Network, ...]) -> bool:
    return any(code in network for network in networks)


@dataclass(frozen=True, slots=True)
class Dnsbl:
    """One list at one stage: CONNECT for direct clients, HEADERS for those behind a relay."""

    label: str
    settings: Settings
    stage: Stage
    clients: Clients
    resolver: Resolver
    guard: Guard

    @property
    def name(self) -> str:
        """`dnsbl/LABEL`."""
        return f"dnsbl/{self.label}"

    def applies(self, view: View) -> bool:
        """Whether clients of this channel are looked up."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Ask for the address, unless it is exempt or the list is set aside."""
        address = self.clients.address(view, self.stage)
        if address is None or family(address) not in self.settings.families:
            return Known()
        reason = self.guard.reason(self.label, family(address))
        if reason:
            return Known((self.unknown(address, "aside", reason),))
        return Lookup(self, address, deadline)

    def unknown(self, address: Address, outcome: str, reason: str) -> Finding:
        """The finding where the list does not tell whether this address is on it."""
        text = f"list {self.label} says nothing of client {address}: {reason}"
        return Finding(self.name, outcome, TEMPERROR, text, None, self.evidence(address))

    def evidence(self, address: Address, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """What every finding with a band carries, and more."""
        contact = (("contact", self.settings.contact),) if self.settings.contact else ()
        return (("client", str(address)), *contact, *more)


class Lookup:
    """One client's question to one list; collected by one thread at a time."""

    def __init__(self, check: Dnsbl, address: Address, deadline: Deadline) -> None:
        self._check = check
        self._address = address
        self._deadline = deadline
        self._findings: tuple[Finding, ...] | None = None
        self._text: Question | None = None
        self._name = question(address, check.settings.zone)
        self._question = check.resolver.ask(self._name, "A", self._answered)

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            self._findings = (self._finding(self._question.result(self._deadline)),)
        return self._findings

    def _answered(self, answer: Answer) -> None:
        """As soon as a listing is known its text is asked for, while SMTP goes on."""
        if outcome(self._check.settings, answer) == LISTED:
            self._text = self._check.resolver.ask(self._name, "TXT")

    def _finding(self, answer: Answer) -> Finding:
        check, address = self._check, self._address
        word = outcome(check.settings, answer)
        if word == "timeout":
            check.guard.timed_out(check.label)
            return check.unknown(address, word, "no answer in time")
        check.guard.answered(check.label)
        codes = " ".join(answer.records[:_SHOWN])
        if word == "clear":
            return Finding(check.name, word)
        if word == "error":
            said = f"its answer is {codes}" if codes else f"its server says {answer.status.value}"
            return check.unknown(address, word, said)
        reason = f"client {address} is listed by {check.label}"
        evidence = check.evidence(address, ("answers", codes), *self._said())
        return Finding(check.name, LISTED, LISTED, reason, None, evidence)

    def _said(self) -> tuple[tuple[str, str], ...]:
        """What the list says of the client, if it is here by now; without the list's zone."""
        answer = self._text.result(Deadline.after(0.0)) if self._text is not None else None
        if answer is None or not answer.records:
            return ()
        zone = re.escape(self._check.settings.zone)
        hidden = re.sub(zone, self._check.label, answer.records[0], flags=re.IGNORECASE)
        return (("text", printable(hidden, _TEXT)),)


def make(name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The checks of one list: one for direct clients, one more where there are trusted relays."""
    site = tools.site
    rule = clients(site, settings.channels, exempt_authenticated=settings.exempt_authenticated)
    return tuple(
        Dnsbl(name, settings, stage, rule, tools.resolver, tools.guard) for stage in stages(site)
    )
