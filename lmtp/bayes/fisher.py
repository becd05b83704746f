"""The Bayesian part: in how many ham and spam each word was, combined after Robinson and Fisher.

A word's probability is that of spam among equally many ham and spam that have it, drawn towards
1/2 where it was seen seldom. Those that say anything are combined by Fisher's method, once for each
side (G. Robinson, "A Statistical Approach to the Spam Problem", Linux Journal, 2003): the result is
near 1/2 where both sides have much to say, or neither.

Both counts of a word share a byte. Where one would pass 11 both are halved: their relation stays,
and what was long ago weighs less. What is taken back after that may leave less than nothing, which
counts as nothing. It learns where it was wrong or not sure.
"""

from __future__ import annotations

import itertools
import math
import struct
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lmtp.bayes.features import WORDS, at
from lmtp.bayes.state import MOST_COUNTED
from lmtp.bayes.weights import probability

_HEAD = struct.Struct("<II")
"""How many ham and spam were learned."""

_CHANGE = struct.Struct("<BH")
"""Whether it was spam, and how many words were halved."""

_MOST = 11
"""Of 16 numbers in half a byte; those above are -4 to -1."""


@dataclass(frozen=True, slots=True)
class Fisher:
    """How it judges; `table` is what it has learned, which is the caller's."""

    strength: float = 0.1
    """So many messages the belief weighs that a word says nothing."""

    least: float = 0.3
    """A word that is nearer to 1/2 than this is passed over."""

    margin: float = 0.1
    """An error that teaches nothing."""

    @property
    def size(self) -> int:
        """Bytes."""
        return _HEAD.size + WORDS

    def log_odds(self, table: memoryview, words: array[int]) -> float:
        """Of spam; 0 where nothing is known."""
        return _log_odds(self._known(table, _counted(table, words)).values())

    def pulls(self, table: memoryview, words: array[int]) -> Mapping[int, float]:
        """The share in that of each word that says anything."""
        counted = _counted(table, words)
        known = self._known(table, counted)
        says = {both: math.log(one / (1 - one)) for both, (one, _many) in known.items()}
        odds = {
            number: says[both] for number, both in zip(words, counted, strict=True) if both in says
        }
        whole = sum(map(abs, odds.values())) or 1.0
        all_said = abs(_log_odds(known.values()))
        return {number: all_said * said / whole for number, said in odds.items()}

    def learn(self, table: memoryview, words: array[int], *, spam: bool) -> bytes:
        """Learn it; the change, which is empty where there was nothing to learn."""
        if abs(spam - probability(self.log_odds(table, words))) <= self.margin:
            return b""
        counts, halved, one = table[_HEAD.size :], bytearray(), _one(spam=spam)
        for number in words:
            old = counts[number]
            counts[number] = new = _moved(old, one, 1)
            ham_count, spam_count = _counts(old)
            if (spam_count if spam else ham_count) == _MOST:
                half = (ham_count + (not spam)) // 2 << 4 | (spam_count + spam) // 2
                halved += struct.pack("<HB", number, _moved(half, new, -1))
                counts[number] = half
        _count(table, 1, spam=spam)
        return _CHANGE.pack(spam, len(halved) // 3) + halved

    def undo(self, table: memoryview, words: array[int], change: bytes) -> None:
        """Take that back. struct.error where this is no change."""
        if not change:
            return
        spam, count = _CHANGE.unpack_from(change)
        counts, one = table[_HEAD.size :], _one(spam=spam)
        for number in words:
            counts[number] = _moved(counts[number], one, -1)
        for number, more in struct.iter_unpack("<HB", change[_CHANGE.size :][: 3 * count]):
            counts[number] = _moved(counts[number], more, -1)
        _count(table, -1, spam=spam)

    def _known(self, table: memoryview, counted: bytes) -> dict[int, tuple[float, int]]:
        """For each byte of counts that says anything: the probability, and of how many words."""
        ham, spam = _HEAD.unpack_from(table)
        if not ham or not spam:
            return {}
        found = {}
        for both, many in Counter(counted).items():
            ham_count, spam_count = _counts(both)
            seen = ham_count + spam_count
            if not seen:
                continue
            ham_share, spam_share = ham_count / ham, spam_count / spam
            raw = spam_share / (ham_share + spam_share)
            one = (self.strength / 2 + seen * raw) / (self.strength + seen)
            if abs(one - 0.5) >= self.least:
                found[both] = one, many
        return found


def _counted(table: memoryview, words: array[int]) -> bytes:
    """Both counts of each word."""
    return at(bytes(table[_HEAD.size :]), words)


def _log_odds(known: Collection[tuple[float, int]]) -> float:
    """Of probabilities, each of so many words."""
    count = sum(many for _one, many in known)
    if not count:
        return 0.0
    for_spam = _tails(-sum(many * math.log(one) for one, many in known), count)
    for_ham = _tails(-sum(many * math.log(1 - one) for one, many in known), count)
    return _log_sum(for_spam[0], for_ham[1]) - _log_sum(for_spam[1], for_ham[0])


def _one(*, spam: bool) -> int:
    return 1 if spam else 16


def _counts(both: int) -> tuple[int, int]:
    """In how many ham and spam."""
    ham, spam = both >> 4, both & 15
    return ham if ham <= _MOST else 0, spam if spam <= _MOST else 0


def _moved(both: int, by: int, times: int) -> int:
    """Each half of the byte for itself, modulo 16: whatever was added can be taken away."""
    return both + times * (by & 0xF0) & 0xF0 | both + times * by & 0x0F


def _count(table: memoryview, more: int, *, spam: bool) -> None:
    counts = list(_HEAD.unpack_from(table))
    counts[spam] = min(max(0, counts[spam] + more), MOST_COUNTED)
    _HEAD.pack_into(table, 0, *counts)


def _tails(half: float, count: int) -> tuple[float, float]:
    """The logarithms of the chances that chi-square is at least, and at most, twice `half`.

    It has 2 `count` degrees of freedom. The smaller chance is the sum of a series of its own, so
    that neither is rounded to 0.
    """
    if not half:
        return 0.0, -math.inf
    if half < count:
        first = count * math.log(half) - half - math.lgamma(count + 1)
        lower = first + math.log(_series(half / index for index in itertools.count(count + 1)))
        return _rest(lower), lower
    first = (count - 1) * math.log(half) - half - math.lgamma(count)
    upper = first + math.log(_series(index / half for index in range(count - 1, 0, -1)))
    return upper, _rest(upper)


def _series(ratios: Iterable[float]) -> float:
    """1 and the terms that follow by these ratios, as far as they count."""
    term = total = 1.0
    for ratio in ratios:
        term *= ratio
        total += term
        if term < total * 1e-16:
            break
    return total


def _rest(logarithm: float) -> float:
    """Of the chance that is left beside this one."""
    return math.log(-math.expm1(logarithm)) if logarithm < 0 else -math.inf


def _log_sum(one: float, other: float) -> float:
    most = max(one, other)
    return most + math.log(math.exp(one - most) + math.exp(other - most))
