"""One view by online logistic regression: a byte of weight for each number, learned from errors.

The log-odds of a message are the sum of its weights by the root of how many there are, so that a
long message weighs no more than a short one. It learns where it was wrong or near that, by steps
that get smaller. A step is seldom a whole unit of a byte: which weights take the unit more is drawn
by lot from their numbers and the number of the step, so that the sum is right and `undo` draws the
same lots. Changes add up modulo 256, hence they may be taken back in any order.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from lmtp.bayes.features import at
from lmtp.bayes.state import MOST_COUNTED

_HEAD = struct.Struct("<iI")
"""The bias, in parts of a unit, and the number of steps."""

_CHANGE = struct.Struct("<iHH")
"""The step in parts of a unit, its number, and how many weights did not take all of it."""

_UNIT = 32
"""Units in a weight of 1. 64 measures the same; the weights of a year's mail reach 2."""

_PARTS = 256
"""Of a unit, in a step."""

_LIMIT = 100
_STEP = 27
"""Units: with both, a weight that was learned can be taken back without going round."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How it learns of so many `numbers`; `table` is what it has learned, which is the caller's."""

    numbers: int
    rate: float = 10.0
    slowing: int = 200
    """Steps after which the rate is half of what it was."""

    least_rate: float = 1.0
    margin: float = 0.2
    """An error that teaches nothing."""

    @property
    def size(self) -> int:
        """Bytes."""
        return _HEAD.size + self.numbers

    def log_odds(self, table: memoryview, view: array[int]) -> float:
        """Of spam, by this view."""
        bias, _steps = _HEAD.unpack_from(table)
        units: float = sum(_weights(table, view)) + bias / _PARTS
        return units / (_UNIT * math.sqrt(len(view) + 1))

    def pulls(self, table: memoryview, view: array[int]) -> Mapping[int, float]:
        """What each number adds to that."""
        whole = _UNIT * math.sqrt(len(view) + 1)
        weights = _weights(table, view)
        return {number: weight / whole for number, weight in zip(view, weights, strict=True)}

    def learn(self, table: memoryview, view: array[int], *, spam: bool) -> bytes:
        """Learn it; the change, which is empty where there was nothing to learn."""
        error = spam - probability(self.log_odds(table, view))
        if abs(error) <= self.margin:
            return b""
        bias, steps = _HEAD.unpack_from(table)
        rate = max(self.least_rate, self.rate / (1 + steps / self.slowing))
        step = round(rate * error * _UNIT * _PARTS / math.sqrt(len(view) + 1))
        step = max(-_STEP * _PARTS, min(_STEP * _PARTS, step))
        lot = steps & 0xFFFF
        short = self._add(table, view, step, lot)
        _HEAD.pack_into(table, 0, bias + step, min(steps + 1, MOST_COUNTED))
        return _CHANGE.pack(step, lot, len(short) // 3) + short

    def undo(self, table: memoryview, view: array[int], change: bytes) -> None:
        """Take that back. struct.error where this is no change."""
        if not change:
            return
        step, lot, count = _CHANGE.unpack_from(change)
        weights = table[_HEAD.size :]
        seed = _seed(lot)
        for number in view:
            taken = step + ((number ^ seed) * 40503 >> 8 & 0xFF) >> 8
            weights[number] = weights[number] - taken & 0xFF
        for number, kept in struct.iter_unpack("<Hb", change[_CHANGE.size :][: 3 * count]):
            weights[number] = weights[number] + kept & 0xFF
        bias, steps = _HEAD.unpack_from(table)
        _HEAD.pack_into(table, 0, bias - step, max(0, steps - 1))

    def _add(self, table: memoryview, view: array[int], step: int, lot: int) -> bytes:
        """Add it to each; of those that are at the limit, what they did not take."""
        weights, seed, short = table[_HEAD.size :].cast("b"), _seed(lot), bytearray()
        for number in view:
            wanted = step + ((number ^ seed) * 40503 >> 8 & 0xFF) >> 8
            old = weights[number]
            new = max(min(-_LIMIT, old), min(max(_LIMIT, old), old + wanted))
            weights[number] = new
            if new - old != wanted:
                short += struct.pack("<Hb", number, wanted - (new - old))
        return bytes(short)


def probability(log_odds: float) -> float:
    """Of these log-odds."""
    if log_odds < 0:
        odds = math.exp(max(log_odds, -700.0))
        return odds / (1 + odds)
    return 1 / (1 + math.exp(-min(log_odds, 700.0)))


def _weights(table: memoryview, view: array[int]) -> array[int]:
    """That of each number. To read them out of a copy of the table takes half the time."""
    return array("b", at(bytes(table[_HEAD.size :]), view))


def _seed(lot: int) -> int:
    return lot * 30011 & 0xFFFF
