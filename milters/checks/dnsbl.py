"""`dnsbl/<label>`: is the client on a DNS blacklist (RFC 5782)?

The question leaves at CONNECT and the answer is collected when it is first needed; `zone` says what
it may be. Exempt clients get no finding at all.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from iems.model.envelope import IpAddress
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, reads, setting, somewhere
from milters.checks import zone
from milters.checks.clients import Clients, clients, stages
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.checks.zone import Entries, Subject, Zone, ZoneSettings

FAMILIES = ("ipv4", "ipv6")
_ENTRIES: Mapping[str, tuple[IpAddress, IpAddress]] = {
    "ipv4": (ipaddress.ip_address("127.0.0.2"), ipaddress.ip_address("127.0.0.1")),
    "ipv6": (ipaddress.ip_address("::ffff:7f00:2"), ipaddress.ip_address("::ffff:7f00:1")),
}
"""RFC 5782 section 5: whom every list has and has not."""


@reads("list of `ipv4`, `ipv6`")
def _families(value: object) -> tuple[str, ...]:
    found = read.texts(value)
    if not found or set(found) - set(FAMILIES):
        raise ValueError(f"expected a list of {', '.join(FAMILIES)}")
    return found


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(ZoneSettings):
    """`[checks.dnsbl.LABEL]` beside mode, default and allow."""

    families: tuple[str, ...] = setting(_families, "addresses the list knows", FAMILIES)

    def entries(self) -> Mapping[str, Entries]:
        """The test entries of the families that the list knows."""
        return entries(self.families)


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.dnsbl.LABEL]`; SettingsError names file, key, value, expected."""
    return zone.parse(Settings, options, key, where)


def entries(families: Collection[str]) -> Mapping[str, Entries]:
    """The test entries of these families."""
    return {
        family: Entries(str(yes), str(no), (question(yes), question(no)))
        for family, (yes, no) in _ENTRIES.items()
        if family in families
    }


def question(address: IpAddress) -> str:
    """The name to ask for below a zone (RFC 5782 sections 2.1 and 2.4)."""
    return address.reverse_pointer.rsplit(".", 2)[0]


# All lists are asked about the same client.
@functools.lru_cache(maxsize=256)
def subject(address: IpAddress) -> Subject:
    """The client as a list is asked about him."""
    told = ("client", str(address))
    return Subject(f"ipv{address.version}", question(address), told, f"client {address}")


@dataclass(frozen=True, slots=True)
class Dnsbl:
    """One list at one stage: CONNECT for direct clients, HEADERS for those behind a relay."""

    zone: Zone
    families: tuple[str, ...]
    stage: Stage
    clients: Clients

    @property
    def name(self) -> str:
        """`dnsbl/LABEL`."""
        return self.zone.check

    def applies(self, view: View) -> bool:
        """Whether clients of this channel are looked up."""
        return self.clients.applies(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Ask for the address, unless it is exempt or the list is set aside."""
        address = self.clients.address(view, self.stage)
        asked = subject(address) if address is not None else None
        if asked is None or asked.kind not in self.families:
            return Known()
        return self.zone.ask([asked], deadline)


def make(name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The checks of one list: one for direct clients, one more where there are trusted relays."""
    site = tools.site
    rule = clients(site, settings)
    asked = zone.zone_of(f"dnsbl/{name}", name, health_key(name), settings, tools)
    return tuple(Dnsbl(asked, settings.families, stage, rule) for stage in stages(site))


def health_key(label: str) -> str:
    """Under which name its health is kept."""
    return label
