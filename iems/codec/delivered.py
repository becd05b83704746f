"""Delivered-To: to whom a message has been delivered already, as local deliveries note it.

Anybody can write such a field; whoever forges one keeps his own message from its recipient. A value
that is no address names nobody.
"""

from __future__ import annotations

from iems.codec.header import unfold
from iems.model.address import Address, AddressError
from iems.model.message import HeaderBlock

_NAME = b"delivered-to"


def delivered_to(header: HeaderBlock) -> frozenset[str]:
    """The keys of all addresses that such fields hold."""
    keys = set()
    for field in header.named(_NAME):
        try:
            keys.add(Address.parse(unfold(field.value).decode()).key)
        except (AddressError, UnicodeDecodeError):
            continue
    return frozenset(keys)
