"""`rhsbl/<label>`: is the client's own name, or the sender's domain, on a list of names (RFC 5782)?

The question about a HELO leaves at HELO, the one about a sender at MAIL; `zone` says what the
answer may be. Each of the two is a finding of its own. Only whole domain names are asked for: an
address literal, a null sender and what cannot be a name have no finding, as exempt clients have
none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, reads, setting, somewhere
from milters.checks import zone
from milters.checks.clients import Clients, clients
from milters.checks.helo import full_name
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.checks.zone import Entries, Subject, Zone, ZoneSettings

HELO, SENDER = "helo", "sender"
NAMES = (HELO, SENDER)
KIND = "names"
ENTRIES = Entries("test", "invalid", ("test", "invalid"))
"""Whom every list of names has and has not (RFC 5782 section 5)."""

_SHOWN = 100
"""Characters of a domain name that are shown."""


@reads("list of `helo`, `sender`")
def _names(value: object) -> tuple[str, ...]:
    found = read.texts(value)
    if not found or set(found) - set(NAMES):
        raise ValueError(f"expected a list of {', '.join(NAMES)}")
    return found


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(ZoneSettings):
    """`[checks.rhsbl.LABEL]` beside mode, default and allow."""

    names: tuple[str, ...] = setting(
        _names, "what is asked about: the name in HELO, the domain of the sender", NAMES
    )

    def entries(self) -> Mapping[str, Entries]:
        """The test entries of every list of names."""
        return {KIND: ENTRIES}


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.rhsbl.LABEL]`; SettingsError names file, key, value, expected."""
    return zone.parse(Settings, options, key, where)


@dataclass(frozen=True, slots=True)
class Rhsbl:
    """One list and one kind of name, at the stage where it becomes known."""

    zone: Zone
    stage: Stage
    clients: Clients

    @property
    def name(self) -> str:
        """`rhsbl/LABEL`."""
        return self.zone.check

    def applies(self, view: View) -> bool:
        """Whether clients of this channel are looked up."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Ask for the name, if there is one, unless the list is set aside."""
        if self.stage is Stage.HELO:
            exempt, name, words = self.clients.direct(view) is None, full_name(view.helo), "HELO"
        else:
            exempt, words = self.clients.known(view) is None, "the sender's domain"
            name = view.sender.domain if view.sender else ""
        if exempt or "." not in name or name.startswith("[") or not self.zone.holds(name):
            return Known()
        shown = printable(name, _SHOWN)
        key = "helo" if self.stage is Stage.HELO else "domain"
        subject = Subject(KIND, name, (key, shown), f"{words} {shown}")
        return self.zone.ask([subject], deadline)


def make(name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The checks of one list: one for each kind of name that it is asked about."""
    rule = clients(tools.site, settings)
    asked = zone.zone_of(f"rhsbl/{name}", name, health_key(name), settings, tools)
    stages = {HELO: Stage.HELO, SENDER: Stage.MAIL}
    return tuple(Rhsbl(asked, stages[kind], rule) for kind in NAMES if kind in settings.names)


def health_key(label: str) -> str:
    """Under which name its health is kept: a `dnsbl` may have the same label."""
    return f"rhsbl/{label}"
