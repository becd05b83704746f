"""`dnsbl/<label>`: is the client on a DNS blacklist (RFC 5782)?"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from iems.model.address import AddressError, domain_name
from iems.model.envelope import INTERNET
from iems.settings import read
from iems.settings.read import SettingsError, Table, join, setting

FAMILIES = ("ipv4", "ipv6")
_ZONE = 180
"""Characters of a zone at most: 64 of reversed nibbles and dots before it must fit into 253."""


def _codes(value: object) -> tuple[ipaddress.IPv4Network, ...]:
    found = tuple(one for one in read.networks(value) if isinstance(one, ipaddress.IPv4Network))
    if not found or len(found) != len(read.texts(value)):
        raise ValueError("expected a list of IPv4 networks like 127.0.0.0/24")
    return found


def _families(value: object) -> tuple[str, ...]:
    found = read.texts(value)
    if not found or set(found) - set(FAMILIES):
        raise ValueError(f"expected a list of {', '.join(FAMILIES)}")
    return found


def _contact(value: object) -> str:
    found = read.text(value)
    if not found.isascii() or len(found) > 200:
        raise ValueError("expected at most 200 ASCII characters")
    return found


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """`[checks.dnsbl.LABEL]` beside mode, default and allow; it has no repr because of the zone."""

    zone: str = setting(read.text, "the zone to ask; it can hold a key and is never shown")
    mask: tuple[ipaddress.IPv4Network, ...] = setting(
        _codes, "answers that mean listed", _codes(["127.0.0.0/8"])
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
    contact: str = setting(_contact, "instead of the site's contact in a refusal", "")


def parse(options: Table, key: str) -> Settings:
    """The options of `[checks.dnsbl.LABEL]`; SettingsError names key, value, what is expected.

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
                f"settings: {path} is missing or no zone (not shown, it can hold a key); "
                f"expected a domain name of at most {_ZONE} characters"
            ]
        )
    return read.read_table(Settings, {**options, "zone": zone}, key, lambda _path: "settings")
