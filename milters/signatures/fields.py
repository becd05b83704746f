"""Signature fields read: DKIM-Signature, ARC-Message-Signature, ARC-Seal.

RFC 6376 section 3.5, RFC 8617 section 4.1. Whatever the bytes are, the result is a value or
`UnverifiedError`; what one asks of a signature beyond its syntax (no SHA-1, not expired) stands in
`verify`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from iems.codec import tags
from iems.codec.tags import FWS, TagError
from iems.model.address import AddressError, domain_name
from iems.model.message import Field

Tags = Mapping[bytes, bytes]
_TIME = re.compile(rb"[0-9]{1,12}")
_LENGTH = re.compile(rb"[0-9]{1,76}")
_ALGORITHM = re.compile(rb"[a-z][a-z0-9-]{0,40}")
_FORMS = {b"simple": False, b"relaxed": True}


class UnverifiedError(Exception):
    """Why a signature does not pass, with the word of RFC 8601 section 2.7.1 for that.

    `testing` where the key says that its owner only tries (RFC 6376 section 3.6.1, `t=y`).
    """

    def __init__(self, outcome: str, reason: str, *, testing: bool = False) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.testing = testing


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, and how: what all signature fields have."""

    field: Field
    algorithm: str
    domain: str
    selector: str
    signature: bytes

    @property
    def key_name(self) -> str:
        """Where the key stands in the DNS."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over fields and body; `names` are the signed fields', in lower case.

    `identity` is the domain of `i=`, `length` is `l=`, `expires` is `x=` in seconds of the epoch.
    """

    signer: Signer
    names: tuple[bytes, ...]
    body_hash: bytes
    relaxed_header: bool
    relaxed_body: bool
    length: int | None
    identity: str
    expires: int | None


@dataclass(frozen=True, slots=True)
class Seal:
    """An ARC-Seal; `status` is its `cv=`."""

    signer: Signer
    status: str


def read_tags(field: Field) -> Tags:
    """The tags of a signature field."""
    try:
        return tags.parse(field.value)
    except TagError as error:
        raise _malformed(str(error)) from None


def read_dkim(field: Field, found: Tags) -> Signature:
    """A DKIM-Signature."""
    if found.get(b"v") != b"1":
        raise _malformed("the version is not 1")
    signature = _signature(field, found)
    queries = found.get(b"q")
    if queries is not None and b"dns/txt" not in tags.words(queries):
        raise _malformed("q= names no way to the key that is known")
    domain, identity = signature.signer.domain, signature.identity
    if identity != domain and not identity.endswith(f".{domain}"):
        raise UnverifiedError("permerror", "i= is not of the domain that signed")
    return signature


def read_message_signature(field: Field, found: Tags) -> Signature:
    """An ARC-Message-Signature: its `i=` is an instance and its version is not told."""
    signature = _signature(field, {name: found[name] for name in found if name != b"i"})
    if b"v" in found or b"arc-seal" in signature.names:
        raise _malformed("v= stands there, or ARC-Seal is signed")
    return signature


def read_seal(field: Field, found: Tags) -> Seal:
    """An ARC-Seal, which covers no body and always the same fields."""
    status = _needed(found, b"cv")
    if status not in {b"none", b"pass", b"fail"} or b"h" in found or b"bh" in found:
        raise _malformed("cv= is no word of RFC 8617, or h= or bh= stands there")
    return Seal(read_signer(field, found), status.decode())


def read_signer(field: Field, found: Tags) -> Signer:
    """What all signature fields have."""
    algorithm = _needed(found, b"a").lower()
    if not _ALGORITHM.fullmatch(algorithm):
        raise _malformed("a= names no algorithm")
    return Signer(
        field,
        algorithm.decode(),
        _domain(_needed(found, b"d"), "d="),
        _domain(_needed(found, b"s"), "s="),
        _base64(_needed(found, b"b"), "b="),
    )


def base64_bytes(value: bytes) -> bytes:
    """Base64 with white space in it; ValueError where it is none."""
    return base64.b64decode(value.translate(None, FWS), validate=True)


def _signature(field: Field, found: Tags) -> Signature:
    signer = read_signer(field, found)
    names = tags.words(_needed(found, b"h"))
    if b"from" not in names:
        raise UnverifiedError("permerror", "the From field is not signed")
    relaxed_header, relaxed_body = _forms(found.get(b"c", b"simple/simple"))
    signed, expires = _number(found, b"t", _TIME), _number(found, b"x", _TIME)
    if signed is not None and expires is not None and expires <= signed:
        raise _malformed("it expires before it is made")
    return Signature(
        signer,
        names,
        _base64(_needed(found, b"bh"), "bh="),
        relaxed_header,
        relaxed_body,
        _number(found, b"l", _LENGTH),
        _identity(found, signer.domain),
        expires,
    )


def _forms(value: bytes) -> tuple[bool, bool]:
    """Whether header and body are in relaxed form; a body of which nothing is said is not."""
    header, slash, body = value.lower().partition(b"/")
    try:
        return _FORMS[header], _FORMS[body] if slash else False
    except KeyError:
        raise _malformed("c= names no canonical form that is known") from None


def _needed(found: Tags, name: bytes) -> bytes:
    value = found.get(name, b"")
    if not value:
        raise _malformed(f"{name.decode()}= is missing")
    return value


def _identity(found: Tags, domain: str) -> str:
    if b"i" not in found:
        return domain
    _local, at, host = found[b"i"].rpartition(b"@")
    if not at:
        raise _malformed("i= has no domain")
    return _domain(host, "i=")


def _domain(value: bytes, what: str) -> str:
    try:
        name = domain_name(value.decode())
    except (AddressError, UnicodeDecodeError):
        name = "["
    if name.startswith("["):
        raise _malformed(f"{what} is no domain name")
    return name


def _base64(value: bytes, what: str) -> bytes:
    try:
        return base64_bytes(value)
    except (binascii.Error, ValueError):
        raise _malformed(f"{what} is no base64") from None


def _number(found: Tags, name: bytes, form: re.Pattern[bytes]) -> int | None:
    value = found.get(name)
    if value is None:
        return None
    if not form.fullmatch(value):
        raise _malformed(f"{name.decode()}= is no number of its form")
    return int(value)


def _malformed(reason: str) -> UnverifiedError:
    """RFC 8601: a signature that contains syntax errors is `neutral`."""
    return UnverifiedError("neutral", reason)
