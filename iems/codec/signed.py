"""The addresses by which a user acts by mail: to let one message out of quarantine.

`USER+iems-TOKEN@DOMAIN` is the user's own address with an extension, so it needs no mailbox, no
alias and nothing of Postfix. The token is the id of the stored message and an HMAC with the site's
key over user, id, recipient and rule; in letters and digits of one case (base32), for a local part
may lose its case on the way, and short, for it has 64 octets at most. Who knows the address can
let that message out to whom it was for, past that rule, and can do nothing else.

It is good for as long as the message is in quarantine: without it nobody can tell whether the HMAC
is right. No text is an error here; an address of another form is none of ours.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from iems.codec.mac import mac
from iems.model.address import Address, AddressError

_MAC_BYTES = 8
"""64 of 256 bits (RFC 2104 section 5 wants half of them, where one can try without being seen).
Each guess is a message that Postfix takes: a thousand a second hit once in 580 million years, and
who guesses needs the id first, which has 72 random bits."""

_LOCAL = 64
"""Octets of a local part (RFC 5321 section 4.5.3.1.1), which other servers hold us to."""

_RELEASE = re.compile(r"iems-([a-z2-7]{15})([a-z2-7]{13})")
_ID_BYTES = 9
_PURPOSE = "release by mail 1"


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What an address asks: `user` to let out the message `id`; not verified yet."""

    user: Address
    id: str
    mac: str

    def signed_by(self, secrets: Iterable[bytes], recipient: str, rule: tuple[str, str]) -> bool:
        """Whether one of these keys made the address for this recipient and rule."""
        return any(
            hmac.compare_digest(_signature(one, self.user, self.id, recipient, rule), self.mac)
            for one in secrets
        )


def release_address(
    user: Address, name: str, recipient: str, rule: tuple[str, str], secret: bytes
) -> str:
    """The address for a message in quarantine; empty where user or id are too long for one."""
    octets = _octets(name)
    if len(octets) != _ID_BYTES:
        return ""
    token = _letters(octets) + _signature(secret, user, name, recipient, rule)
    return _extended(user, f"iems-{token}")


def release_request(text: str) -> ReleaseRequest | None:
    """What a recipient's address asks; None where it is no address of this form."""
    user, extension = _parts(text)
    found = _RELEASE.fullmatch(extension)
    if user is None or found is None:
        return None
    octets = base64.b32decode(found[1].upper() + "=")
    return ReleaseRequest(user, base64.urlsafe_b64encode(octets).decode(), found[2])


def _parts(text: str) -> tuple[Address | None, str]:
    try:
        address = Address.parse(text)
    except AddressError:
        return None, ""
    return address.without_extension(), address.local.casefold().partition("+")[2]


def _extended(user: Address, extension: str) -> str:
    local = f"{user.local.casefold()}+{extension}"
    return str(Address(local, user.domain)) if len(local.encode()) <= _LOCAL else ""


def _signature(
    secret: bytes, user: Address, name: str, recipient: str, rule: tuple[str, str]
) -> str:
    told = base64.b64decode(mac(secret, (_PURPOSE, user.key, name, recipient, *rule)))
    return _letters(told[:_MAC_BYTES])


def _letters(octets: bytes) -> str:
    return base64.b32encode(octets).decode().rstrip("=").lower()


def _octets(name: str) -> bytes:
    """The random bytes of an id; none where it is no id as `Quarantine.put` makes them."""
    try:
        octets = base64.urlsafe_b64decode(name)
    except ValueError:
        return b""
    return octets if base64.urlsafe_b64encode(octets).decode() == name else b""
