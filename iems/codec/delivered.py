"""Delivered-To: to whom a message has been delivered already, as local deliveries note it.

Anybody can write such a field; whoever forges one keeps his own message from its recipient. A value
that is no address names nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

from iems.codec.header import unfold
from iems.model.address import Address, AddressError

_NAME = b"delivered-to"


def delivered_to(header: Iterable[tuple[bytes, bytes]]) -> frozenset[str]:
    """The keys of all addresses that such fields among these (name, value) hold."""
    keys = set()
    for name, value in header:
        if name.strip().lower() != _NAME:
            continue
        try:
            keys.add(Address.parse(unfold(value).decode()).key)
        except (AddressError, UnicodeDecodeError):
            continue
    return frozenset(keys)
