"""Tokens as hashed numbers: what the agent remembers of a message, and what a classifier learns by.

There are three views of a message: the words of its header, those of its body, and the runs of
four bytes in its text. Each is a set of small numbers, the same for every classifier. The
hashes are salted, once for each installation: nobody outside can choose words that fall together,
and nobody can read a word out of a number.
"""

from __future__ import annotations

import functools
import operator
import struct
import sys
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

from lmtp.bayes.tokens import Tokens

RUNS = 1 << 15
"""Numbers of runs. Half as many measure worse on all splits, twice as many hardly better."""

WORDS = RUNS - 128
"""Numbers of words: so few that the state of the default is within 128 KiB, with what is told of
it."""

_BODY = frozenset({"file", "hidden", "html", "mailto", "mime", "url"})
"""Tags of words that stand in bodies, as words without a tag do."""

_HEADER_TEXT, _BODY_TEXT = 1000, 2000
"""Bytes of header and body that runs are made of; 2,000 of the header measure worse."""

_CACHE = 1 << 15
"""Words whose numbers are kept in a process, some 4 MB: most words of mail are among them."""

_MESSAGES = 8
"""Messages whose features are kept: at delivery they are asked for twice, for the verdict and for
its reasons."""

_VERSION = 1
_HEAD = struct.Struct("<BxHHH")
_RUN = 4
_LANE = 8
"""Bytes: of one sum in a long number."""

_SEVEN_BITS = bytes(range(128)) * 2


class FeaturesError(ValueError):
    """These bytes are no features, or of a version that is not known."""


@dataclass(frozen=True, slots=True)
class Features:
    """The different numbers of each view."""

    header: array[int]
    body: array[int]
    runs: array[int]


@functools.lru_cache(_MESSAGES)
def of(tokens: Tokens, salt: bytes) -> Features:
    """Those of a message."""
    numbers = set(map(_hash(salt), tokens.words))
    header = {number - WORDS for number in numbers if number >= WORDS}
    body = {number for number in numbers if number < WORDS}
    return Features(_array(header), _array(body), _array(_runs(tokens.text, salt)))


def numbers(words: Iterable[str], salt: bytes) -> list[int]:
    """The number of each word, in its view."""
    return [one % WORDS for one in map(_hash(salt), words)]


@functools.lru_cache(4)
def _hash(salt: bytes) -> Callable[[str], int]:
    """Of words: that of a word of the header is WORDS and its number."""

    @functools.lru_cache(_CACHE)
    def hashed(word: str) -> int:
        tag, colon, _rest = word.partition(":")
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8, key=salt).digest()
        first = WORDS if colon and tag not in _BODY else 0
        return first + int.from_bytes(digest, "big") % WORDS

    return hashed


def encode(features: Features) -> bytes:
    """The bytes that `decode` reads."""
    views = (features.header, features.body, features.runs)
    return _HEAD.pack(_VERSION, *map(len, views)) + b"".join(view.tobytes() for view in views)


def decode(raw: bytes) -> Features:
    """The features of these bytes."""
    if len(raw) < _HEAD.size or raw[0] != _VERSION:
        raise FeaturesError("no features of this version")
    _version, header, body, runs = _HEAD.unpack_from(raw)
    if len(raw) != _HEAD.size + 2 * (header + body + runs):
        raise FeaturesError("damaged features")
    numbers = array("H", raw[_HEAD.size :])
    words = header + body
    if max(numbers[:words], default=0) >= WORDS or not _below_runs(numbers[words:]):
        raise FeaturesError("damaged features")
    return Features(numbers[:header], numbers[header:words], numbers[words:])


def at(table: bytes, numbers: array[int]) -> bytes:
    """The byte of the table at each of these numbers, in their order."""
    if len(numbers) < 2:  # or an itemgetter makes no tuple
        return bytes(table[number] for number in numbers)
    return bytes(operator.itemgetter(*numbers)(table))


def _array(numbers: set[int]) -> array[int]:
    """From octets it takes a quarter of the time that it takes from numbers."""
    return array("H", struct.pack(f"{len(numbers)}H", *numbers))


def _below_runs(numbers: array[int]) -> bool:
    """Whether all are: RUNS is that of 15 bits, and looking at each would take as long as its
    weight."""
    high = slice(sys.byteorder == "little", None, numbers.itemsize)
    return numbers.tobytes()[high].isascii()


def _runs(text: bytes, salt: bytes) -> set[int]:
    """Of each run bits 32 to 46 of the sum of its bytes, each times a number that nobody knows.

    The sums are the digits of the product of two long numbers, for that is done at once: a byte of
    the text is a digit of the one, and the factors are those of the other.
    """
    header, _blank, body = text.partition(b"\n\n")
    piece = header[:_HEADER_TEXT] + b"\n\n" + body[:_BODY_TEXT]
    digits = bytearray(_LANE * len(piece))
    digits[::_LANE] = piece
    product = int.from_bytes(digits, "little") * _factors(salt)
    sums = product.to_bytes(_LANE * (len(piece) + _RUN), "little")
    # The first and the last sums are of no whole run.
    first, last = _LANE * (_RUN - 1), _LANE * len(piece)
    upper = bytearray(2 * max(0, len(piece) - _RUN + 1))
    upper[::2] = sums[first + 4 : last : _LANE]
    upper[1::2] = sums[first + 5 : last : _LANE].translate(_SEVEN_BITS)
    return set(array("H", bytes(upper)))


@functools.lru_cache(4)
def _factors(salt: bytes) -> int:
    """One for each byte of a run, of 48 bits each."""
    digest = blake2b(b"runs of bytes", digest_size=6 * _RUN, key=salt).digest()
    factors = (digest[at : at + 6] for at in range(0, len(digest), 6))
    return sum(int.from_bytes(one) << 8 * _LANE * index for index, one in enumerate(factors))
