"""What is known of a connection: the channel it came by, and who connected (RFC 5321, RFC 5598)."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass
from typing import TypeAlias

INTERNET = "internet"
SUBMISSION = "submission"
LOCAL = "local"
LIST = "list"
"""The listener of a list manager, where there is one."""

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Client:
    """Who connected: `ip` is None where there is no address (unix socket), `name` its PTR name."""

    ip: str | None
    name: str = ""
    port: int = 0


# Each check of a connection reads the same address.
@functools.lru_cache(maxsize=256)
def parse_ip(text: str) -> IpAddress | None:
    """The address without scope, IPv4 also where it is mapped into IPv6; None where it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
