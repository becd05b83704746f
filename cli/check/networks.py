"""Which networks are wider than anybody's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from iems.settings.read import Network

_WIDEST = {4: 16, 6: 32}
"""Bits of the prefix: a /16 is what the largest organisations have of IPv4, a /32 is what a
provider gets of IPv6 for all its customers."""

_PRIVATE = tuple(
    ipaddress.ip_network(one)
    for one in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"),
    )
)
"""RFC 1918, 6598, 3927, 4193: whoever comes from there is near, however many they are."""


def wide(networks: Iterable[Network]) -> list[Network]:
    """Those that hold more of the internet than one organisation has, neighbours joined."""
    given = list(networks)
    joined: list[Network] = []
    for version in (4, 6):
        joined += ipaddress.collapse_addresses(
            [one for one in given if one.version == version]  # type: ignore[type-var]
        )
    return [one for one in joined if one.prefixlen < _WIDEST[one.version] and not _private(one)]


def parsed(words: Iterable[str]) -> Iterator[Network]:
    """The networks in a list of Postfix's; tables, files and exceptions are none."""
    for word in words:
        try:
            yield ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            continue


def _private(network: Network) -> bool:
    return any(
        network.version == one.version and network.subnet_of(one)  # type: ignore[arg-type]
        for one in _PRIVATE
    )
