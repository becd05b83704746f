"""Whose address a check looks up: the client's, or behind trusted relays the first untrusted hop's.

Own networks and, where it is set so, authenticated clients are looked up by no check. A connection
from a trusted relay is judged once its header is there: each relay's Received field, as Postfix
writes it (RFC 5321 section 4.4), names the hop before it, and reading stops at the first hop that
is neither ours nor trusted, for whatever stands below that one can be forged. Where a field cannot
be read there is no hop, and nothing is looked up.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from iems.model.message import HeaderBlock
from iems.settings.read import Network
from iems.settings.schema import Settings as Site
from milters.checks.protocol import Stage, View

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOPS = 25
"""Trusted hops that are passed over; a chain of relays is shorter."""

_RECEIVED = re.compile(
    rb"\s*from\s+\S+\s+\(\S+\s+\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?\)", re.IGNORECASE
)
"""`from HELO (NAME [ADDRESS])`. Postfix replaces blanks and brackets of a HELO by question marks,
so no client can write the second half itself."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The rule for one check."""

    own: tuple[Network, ...]
    relays: tuple[Network, ...]
    channels: Collection[str]
    exempt_authenticated: bool

    def applies(self, view: View) -> bool:
        """Whether this client is looked up at all, as far as is known."""
        if self.exempt_authenticated and view.authenticated:
            return False
        return view.channel in self.channels

    def address(self, view: View, stage: Stage) -> Address | None:
        """The address to look up at this stage, if there is one."""
        address = parse_address(view.client.ip or "")
        if address is None or not self.applies(view) or _within(address, self.own):
            return None
        if not _within(address, self.relays):
            return address if stage is Stage.CONNECT else None
        if stage is not Stage.HEADERS or view.header is None:
            return None
        return self._first_untrusted(view.header)

    def _first_untrusted(self, header: HeaderBlock) -> Address | None:
        for received in header.named(b"received")[:_HOPS]:
            found = _RECEIVED.match(received.value)
            hop = parse_address(found.group(1).decode("ascii")) if found else None
            if hop is None:
                return None
            if not _within(hop, self.own) and not _within(hop, self.relays):
                return hop
        return None


def clients(site: Site, channels: Collection[str], *, exempt_authenticated: bool) -> Clients:
    """The rule of a check on this site."""
    return Clients(site.own_networks, site.trusted_relays, channels, exempt_authenticated)


def stages(site: Site) -> tuple[Stage, ...]:
    """When addresses become known: of direct clients, and of those behind trusted relays."""
    return (Stage.CONNECT, Stage.HEADERS) if site.trusted_relays else (Stage.CONNECT,)


# Each check of a connection reads the same address.
@functools.lru_cache(maxsize=256)
def parse_address(text: str) -> Address | None:
    """The address without scope, IPv4 also where it is mapped into IPv6; None where it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
