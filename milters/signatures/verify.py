"""Signatures verified: key records, digests of fields and bodies, and what is never accepted.

RFC 6376 sections 3.6 and 6.1, RFC 8301, RFC 8463. SHA-1 and RSA keys below 1,024 bits never pass.
Nothing here blocks but the reading of the body, which a deadline bounds.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from iems.codec import canonical, keypair, tags
from iems.codec.keypair import PublicKey, PublicKeyError
from iems.codec.signedheader import SignedHeader
from iems.codec.tags import TagError
from iems.dns.resolver import Answer, Status
from iems.model.message import Body
from iems.serve.deadline import Deadline
from milters.signatures.fields import Signature, Signer, UnverifiedError, base64_bytes

_BITS = range(1024, 8193)
"""RSA keys that are accepted: RFC 8301 section 3.2 wants 1,024 to 4,096 at least. A verification
with 8,192 bits takes OpenSSL 0.4 ms, 1.4 with the largest exponent."""

_SLACK = 300
"""Seconds by which a clock may be wrong."""

_KEPT, _SHORT = 256, 1024
"""Keys that are kept as they were read, and characters of their records at most: large senders come
again and again, and a key of 2,048 bits costs 0.02 ms to read and to prepare. 256 of the worst hold
1 MB."""

_ALGORITHMS = {"rsa-sha256": keypair.RSA, "ed25519-sha256": keypair.ED25519}
_READERS = {keypair.RSA: keypair.read_rsa, keypair.ED25519: keypair.read_ed25519}

Form = tuple[bool, int | None]
"""A way to take the digest of a body: whether relaxed, and after how many bytes it ends."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key record; `exact` where `i=` must be of the very domain that signed (`t=s`)."""

    public: PublicKey
    testing: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class BodyDigest:
    """The digest, and the length of the whole canonical body."""

    digest: bytes
    size: int


def acceptable(signer: Signer) -> None:
    """UnverifiedError where no key could make this signature pass."""
    if signer.algorithm == "rsa-sha1":
        raise UnverifiedError("permerror", "it is made with SHA-1 (RFC 8301)")
    if signer.algorithm not in _ALGORITHMS:
        raise UnverifiedError("neutral", "its algorithm is not known")


def read_key(answer: Answer, signer: Signer) -> Key:
    """The key of an answer; UnverifiedError where there is none that fits."""
    if not answer.status.definite:
        raise UnverifiedError("temperror", "its key cannot be looked up now")
    if answer.status is not Status.FOUND or not answer.records:
        raise UnverifiedError("permerror", "its key does not exist")
    faults = []
    for record in answer.records:
        try:
            return (_kept if len(record) <= _SHORT else _key)(record, signer.algorithm)
        except UnverifiedError as error:
            faults.append(error)
    raise faults[0]


def verify_digest(signer: Signer, key: Key, digest: bytes) -> None:
    """UnverifiedError where the signature is not one of this digest."""
    public = key.public
    if public.kind == keypair.RSA and public.bits not in _BITS:
        reason = f"its key has {public.bits} bits; {_BITS[0]} to {_BITS[-1]} are accepted"
        raise UnverifiedError("policy", reason, testing=key.testing)
    if not public.verifies(signer.signature, digest):
        reason = "the signed fields were changed, or the signature is none of this key"
        raise UnverifiedError("fail", reason, testing=key.testing)


def verify_header(signature: Signature, key: Key, header: SignedHeader, now: float) -> None:
    """UnverifiedError where the signature does not hold for these fields."""
    signer = signature.signer
    digest = header.digest(signature.names, signer.field, relaxed=signature.relaxed_header)
    verify_digest(signer, key, digest)
    reason = ""
    if signature.expires is not None and signature.expires + _SLACK < now:
        reason = "it has expired"
    elif key.exact and signature.identity != signer.domain:
        reason = "its key is not for subdomains, and i= is of one"
    elif signature.names.count(b"from") < header.count(b"from"):
        reason = "one of several From fields is not signed"
    if reason:
        raise UnverifiedError("policy", reason, testing=key.testing)


def form(signature: Signature) -> Form:
    """How the digest of the body is taken for this signature."""
    return signature.relaxed_body, signature.length


def body_digests(
    body: Body, forms: Iterable[Form], deadline: Deadline
) -> Mapping[Form, BodyDigest]:
    """The digests of a body, which is read once for each of the two canonical forms."""
    wanted = set(forms)
    found: dict[Form, BodyDigest] = {}
    for relaxed in (False, True):
        digests = {one: hashlib.sha256() for one in wanted if one[0] is relaxed}
        size = 0
        for piece in canonical.body(_content(body, deadline), relaxed=relaxed) if digests else ():
            for (_relaxed, limit), digest in digests.items():
                if limit is None:
                    digest.update(piece)
                elif limit > size:
                    digest.update(piece[: limit - size])
            size += len(piece)
        found |= {one: BodyDigest(digest.digest(), size) for one, digest in digests.items()}
    return found


def verify_body(signature: Signature, digest: BodyDigest, key: Key, *, partial: bool) -> None:
    """UnverifiedError where the signature does not hold for this body."""
    length = digest.size if signature.length is None else signature.length
    if digest.digest != signature.body_hash or length > digest.size:
        raise UnverifiedError("fail", "the body was changed", testing=key.testing)
    if length < digest.size and not partial:
        reason = f"only {length} of {digest.size} bytes of the body are signed"
        raise UnverifiedError("policy", reason, testing=key.testing)


def _content(body: Body, deadline: Deadline) -> Iterator[bytes]:
    """What stands behind the empty line."""
    try:
        for piece in canonical.content(body.pieces()):
            if deadline.expired:
                raise UnverifiedError("temperror", "the body could not be read in time")
            yield piece
    except OSError:
        raise UnverifiedError("temperror", "the body could not be read from the spool") from None


def _key(record: str, algorithm: str) -> Key:
    try:
        found = tags.parse(record.encode("latin-1", "replace"))
    except TagError:
        raise UnverifiedError("permerror", "its key record is no tag list") from None
    kind = found.get(b"k", b"rsa").decode("latin-1")
    flags = tags.words(found.get(b"t", b""))
    testing = b"y" in flags
    reason = ""
    if found.get(b"v", b"DKIM1") != b"DKIM1" or b"p" not in found:
        reason = "its key record is none"
    elif not found[b"p"]:
        reason = "its key is revoked"
    elif kind != _ALGORITHMS[algorithm] or b"sha256" not in tags.words(found.get(b"h", b"sha256")):
        reason = "its key is for another algorithm"
    elif {b"*", b"email"}.isdisjoint(tags.words(found.get(b"s", b"*"))):
        reason = "its key is not for mail"
    if reason:
        raise UnverifiedError("permerror", reason, testing=testing)
    try:
        public = _READERS[kind](base64_bytes(found[b"p"]))
    except (PublicKeyError, ValueError):
        raise UnverifiedError("permerror", "its key cannot be read", testing=testing) from None
    return Key(public, testing, b"s" in flags)


_kept = functools.lru_cache(_KEPT)(_key)
