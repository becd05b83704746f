"""Whose address a check looks up: the client's, or behind trusted relays the first untrusted hop's.

Own networks and, where it is set so, authenticated clients are looked up by no check. A connection
from a trusted relay is judged once its header is there: each relay's Received field, as Postfix
writes it (RFC 5321 section 4.4), names the hop before it, and reading stops at the first hop that
is neither ours nor trusted, for whatever stands below that one can be forged. Where a field cannot
be read there is no hop, and nothing is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from iems.codec.printable import printable
from iems.model.envelope import INTERNET, IpAddress, parse_ip
from iems.model.message import HeaderBlock
from iems.settings import read
from iems.settings.read import Network, setting
from iems.settings.schema import Settings as Site
from milters.checks.protocol import Stage, View

_HOPS = 25
"""Trusted hops that are passed over; a chain of relays is shorter."""

_RECEIVED = re.compile(
    rb"\s*from\s+(\S+)\s+\(\S+\s+\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?\)", re.IGNORECASE
)
"""`from HELO (NAME [ADDRESS])`. Postfix replaces blanks and brackets of a HELO by question marks,
so no client can write the second half itself."""

_LITERAL = re.compile(r"\[(?:([0-9.]{7,15})|ipv6:([0-9a-f]*:[0-9a-f:.]{1,44}))\]")


@dataclass(frozen=True, slots=True)
class Hop:
    """A client as Postfix saw it, here or at a trusted relay."""

    address: IpAddress
    helo: str


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

    def outside(self, view: View) -> bool:
        """Whether the message comes from a client that checks of messages look at.

        So it does from a trusted relay: a message is the same behind it.
        """
        address = parse_ip(view.client.ip or "")
        return self.applies(view) and (address is None or not _within(address, self.own))

    def address(self, view: View, stage: Stage) -> IpAddress | None:
        """The address to look up at this stage, if there is one."""
        hop = self.hop(view, stage)
        return hop.address if hop is not None else None

    def hop(self, view: View, stage: Stage) -> Hop | None:
        """Whose address that is, and what he said in HELO."""
        address = self.known(view)
        if address is None:
            return None
        if not _within(address, self.relays):
            return Hop(address, view.helo) if stage < Stage.HEADERS else None
        if stage is not Stage.HEADERS or view.header is None:
            return None
        return self._first_untrusted(view.header)

    def known(self, view: View) -> IpAddress | None:
        """The address of who connected, a trusted relay too; None where he is exempt."""
        address = parse_ip(view.client.ip or "")
        if address is None or not self.applies(view) or _within(address, self.own):
            return None
        return address

    def direct(self, view: View) -> IpAddress | None:
        """The address of who connected; None where he is exempt or a trusted relay."""
        address = self.known(view)
        return None if address is None or _within(address, self.relays) else address

    def ours(self, address: IpAddress) -> bool:
        """Whether the address is in one of our own networks."""
        return _within(address, self.own)

    def _first_untrusted(self, header: HeaderBlock) -> Hop | None:
        for received in header.named(b"received")[:_HOPS]:
            found = _RECEIVED.match(received.value)
            address = parse_ip(found[2].decode("ascii")) if found else None
            if found is None or address is None:
                return None
            if not _within(address, self.own) and not _within(address, self.relays):
                return Hop(address, printable(found[1]))
        return None


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """What the table of a check holds that looks at clients or at their mail."""

    channels: tuple[str, ...] = setting(read.texts, "source channels that it looks at", (INTERNET,))
    exempt_authenticated: bool = setting(
        read.flag, "whether authenticated clients are left out", default=True
    )


def clients(site: Site, settings: ClientSettings) -> Clients:
    """The rule of a check on this site."""
    return Clients(
        site.own_networks, site.trusted_relays, settings.channels, settings.exempt_authenticated
    )


def stages(site: Site, direct: Stage = Stage.CONNECT) -> tuple[Stage, ...]:
    """When clients are looked up: direct ones, and those behind trusted relays."""
    return (direct, Stage.HEADERS) if site.trusted_relays else (direct,)


def parse_literal(text: str) -> IpAddress | None:
    """The address of a literal; of its kinds (RFC 5321 section 4.1.3) IPv6 alone is registered."""
    found = _LITERAL.fullmatch(text.lower())
    return parse_ip(found[1] or found[2]) if found else None


def _within(address: IpAddress, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
