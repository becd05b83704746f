"""The sets of an Authenticated Received Chain (RFC 8617), for sealer and verifier.

What stands in a header is put together by the number of its set. Whether a signature holds, and
what a seal says, is looked at elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from iems.codec import tags
from iems.codec.canonical import relaxed_field
from iems.codec.signedheader import signing_form
from iems.codec.tags import TagError
from iems.model.message import Field, HeaderBlock

RESULTS = b"ARC-Authentication-Results"
SIGNATURE = b"ARC-Message-Signature"
SEAL = b"ARC-Seal"
KEYS = (RESULTS.lower(), SIGNATURE.lower(), SEAL.lower())

MOST = 50
"""Sets of a chain, the limit of RFC 8617 section 4.2.1."""

_INSTANCE = re.compile(rb"[0-9]{1,2}")
_FIRST = re.compile(rb"\s*i\s*=\s*([0-9]{1,2})\s*;(.*)", re.DOTALL)


class ChainError(ValueError):
    """The fields are not those of a chain; the message says why."""


class ArcSet(NamedTuple):
    """The three fields of one sealer."""

    results: Field
    signature: Field
    seal: Field

    @property
    def told(self) -> bytes:
        """The results behind the number of the set, as Authentication-Results has them."""
        match = _FIRST.match(self.results.value)
        return match.group(2) if match else b""


def instance(field: Field) -> int:
    """The number of a field's set; 0 where it has none."""
    if field.key == KEYS[0]:
        match = _FIRST.match(field.value)
        return int(match.group(1)) if match else 0
    try:
        number = tags.parse(field.value).get(b"i", b"")
    except TagError:
        return 0
    return int(number) if _INSTANCE.fullmatch(number) else 0


def fields(block: HeaderBlock) -> tuple[Field, ...]:
    """The fields of whatever sets there are, from the top."""
    return tuple(field for field in block.fields if field.key in KEYS)


def sets(block: HeaderBlock) -> tuple[ArcSet, ...]:
    """The sets from the first on, none where there is no chain; ChainError where one is not whole.

    That is steps 1 and 2 of section 5.2 without what the fields say.
    """
    found: dict[int, dict[bytes, Field]] = {}
    for field in fields(block):
        number = instance(field)
        if not number:
            raise ChainError("a field has no number of a set")
        one = found.setdefault(number, {})
        if field.key in one or len(found) > MOST:
            raise ChainError(f"more than one field of a set, or {MOST} sets")
        one[field.key] = field
    whole = all(len(one) == len(KEYS) for one in found.values())
    if not whole or sorted(found) != list(range(1, len(found) + 1)):
        raise ChainError("its sets are not complete")
    return tuple(ArcSet(*(found[number][key] for key in KEYS)) for number in sorted(found))


def seal_digests(chain: Iterable[ArcSet]) -> Iterator[bytes]:
    """What each seal signs: all sets up to its own (section 5.1.1)."""
    digest = hashlib.sha256()
    for one in chain:
        digest.update(relaxed_field(one.results))
        digest.update(relaxed_field(one.signature))
        sealed = digest.copy()
        sealed.update(signing_form(one.seal, relaxed=True))
        yield sealed.digest()
        digest.update(relaxed_field(one.seal))
