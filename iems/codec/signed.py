"""The addresses by which a user acts by mail: to let one message out of quarantine, or to get no
digest any more. The Message-ID of a digest is made in the same way.

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
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from iems.codec.mac import mac
from iems.model.address import Address, AddressError

_MAC_BYTES = 8
"""64 of 256 bits (RFC 2104 section 5 wants half of them, where one can try without being seen).
Each guess is a message that Postfix takes: a thousand a second hit once in 580 million years, and
who guesses needs the id first, which has 72 random bits."""

_LOCAL = 64
"""Octets of a local part (RFC 5321 section 4.5.3.1.1), which other servers hold us to."""

_RELEASE = re.compile(r"iems-([a-z2-7]{15})([a-z2-7]{13})")
_OFF = re.compile(r"iems-off-([a-z2-7]{13})")
_DIGEST = re.compile(r"<iems-digest-([a-z2-7]{15})([a-z2-7]{13})@[^@<>\s]+>")
_ID_BYTES = 9
_RELEASING, _NO_DIGEST, _OWN_DIGEST = "release by mail 1", "no digest 1", "digest 1"


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What an address asks: `user` to let out the message `id`; not verified yet."""

    user: Address
    id: str
    mac: str

    def signed_by(self, keys: Iterable[bytes], recipient: str, rule: tuple[str, str]) -> bool:
        """Whether one of these keys made the address for this recipient and rule."""
        return any(
            hmac.compare_digest(
                _mac(one, _RELEASING, self.user.key, self.id, recipient, *rule), self.mac
            )
            for one in keys
        )


@dataclass(frozen=True, slots=True)
class OffRequest:
    """`user` wants no digest any more; not verified yet."""

    user: Address
    mac: str

    def signed_by(self, keys: Iterable[bytes]) -> bool:
        """Whether one of these keys made the address."""
        return any(
            hmac.compare_digest(_mac(one, _NO_DIGEST, self.user.key), self.mac) for one in keys
        )


Request: TypeAlias = ReleaseRequest | OffRequest


def release_address(
    user: Address, name: str, recipient: str, rule: tuple[str, str], secret: bytes
) -> str:
    """The address for a message in quarantine; empty where user or id have no room in one."""
    octets = _octets(name)
    if len(octets) != _ID_BYTES:
        return ""
    token = _letters(octets) + _mac(secret, _RELEASING, user.key, name, recipient, *rule)
    return _extended(user, f"iems-{token}")


def off_address(user: Address, secret: bytes) -> str:
    """The address by which he gets no digest any more; empty where he is too long for one."""
    return _extended(user, f"iems-off-{_mac(secret, _NO_DIGEST, user.key)}")


def request(text: str) -> Request | None:
    """What a recipient's address asks; None where it is no address of these forms."""
    user, extension = _parts(text)
    if user is None:
        return None
    if found := _OFF.fullmatch(extension):
        return OffRequest(user, found[1])
    if found := _RELEASE.fullmatch(extension):
        octets = base64.b32decode(found[1].upper() + "=")
        return ReleaseRequest(user, base64.urlsafe_b64encode(octets).decode(), found[2])
    return None


def digest_id(host: str, secret: bytes) -> str:
    """A Message-ID for a digest, another one with each call."""
    name = _letters(secrets.token_bytes(_ID_BYTES))
    return f"<iems-digest-{name}{_mac(secret, _OWN_DIGEST, name)}@{host}>"


def is_digest(message_id: str, keys: Iterable[bytes]) -> bool:
    """Whether a digest of ours has this Message-ID."""
    found = _DIGEST.fullmatch(message_id)
    return found is not None and any(
        hmac.compare_digest(_mac(one, _OWN_DIGEST, found[1]), found[2]) for one in keys
    )


def _parts(text: str) -> tuple[Address | None, str]:
    try:
        address = Address.parse(text)
    except AddressError:
        return None, ""
    return address.without_extension(), address.local.casefold().partition("+")[2]


def _extended(user: Address, extension: str) -> str:
    if "+" in user.local:
        return ""  # it would be read as that of another user
    local = f"{user.local.casefold()}+{extension}"
    return str(Address(local, user.domain)) if len(local.encode()) <= _LOCAL else ""


def _mac(secret: bytes, *parts: str) -> str:
    return _letters(base64.b64decode(mac(secret, parts))[:_MAC_BYTES])


def _letters(octets: bytes) -> str:
    return base64.b32encode(octets).decode().rstrip("=").lower()


def _octets(name: str) -> bytes:
    """The random bytes of an id; none where it is no id as `Quarantine.put` makes them."""
    try:
        octets = base64.urlsafe_b64decode(name)
    except ValueError:
        return b""
    return octets if base64.urlsafe_b64encode(octets).decode() == name else b""
