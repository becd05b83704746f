"""Tokens as hashed numbers: what the agent remembers of a message, and what a classifier learns by.

The hash is salted, once for each installation: nobody outside can choose words that fall together.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from lmtp.bayes.tokens import Tokens

_VERSION = 1
_HEAD = struct.Struct(">BH")


class FeaturesError(ValueError):
    """These bytes are no features, or of a version that is not known."""


@dataclass(frozen=True, slots=True)
class Features:
    """The distinct slots of a message's words."""

    words: array[int]


def of(tokens: Tokens, salt: bytes) -> Features:
    """Those of a message."""
    return Features(array("H", sorted(set(hashed(tokens.words, salt)))))


def hashed(words: Iterable[str], salt: bytes) -> list[int]:
    """The slot of each word, of 2^16."""
    start = blake2b(key=salt, digest_size=2)
    slots = []
    for word in words:
        state = start.copy()
        state.update(word.encode("utf-8", "surrogatepass"))
        slots.append(int.from_bytes(state.digest(), "big"))
    return slots


def encode(features: Features) -> bytes:
    """The bytes that `decode` reads."""
    return _HEAD.pack(_VERSION, len(features.words)) + features.words.tobytes()


def decode(raw: bytes) -> Features:
    """The features of these bytes."""
    if len(raw) < _HEAD.size or raw[0] != _VERSION:
        raise FeaturesError("no features of this version")
    _version, count = _HEAD.unpack_from(raw)
    if len(raw) != _HEAD.size + 2 * count:
        raise FeaturesError("damaged features")
    words = array("H")
    words.frombytes(raw[_HEAD.size :])
    return Features(words)
