"""A classifier made of parts: their log-odds added, each learning from its own errors.

The parts see different things and err differently, so that the sum errs less than any of them. What
all have learned of a user is one table, one part after the other.
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from lmtp.bayes import features as hashing
from lmtp.bayes.features import Features, FeaturesError
from lmtp.bayes.score import Evidence, Label, Score, Verdict
from lmtp.bayes.state import MOST_COUNTED, State, StateError
from lmtp.bayes.tokens import Tokens
from lmtp.bayes.weights import probability

_CHANGE = struct.Struct("<BBB")
"""Version, whether it was spam, and how many parts there are."""

_LENGTH = struct.Struct("<H")
_VERSION = 1

_RUNS = "text:patterns"
"""How that is told which is in no word."""


class Learner(Protocol):
    """Learns numbers of one view in a table of its own, `size` bytes."""

    @property
    def size(self) -> int:
        """Bytes."""

    def log_odds(self, table: memoryview, view: array[int]) -> float:
        """Of spam; 0 where nothing is known."""

    def pulls(self, table: memoryview, view: array[int]) -> Mapping[int, float]:
        """What each number adds to that, but for those that add nothing."""

    def learn(self, table: memoryview, view: array[int], *, spam: bool) -> bytes:
        """Learn it; the change, which is empty where there was nothing to learn."""

    def undo(self, table: memoryview, view: array[int], change: bytes) -> None:
        """Take that back. struct.error where this is no change."""


@dataclass(frozen=True, slots=True)
class Part:
    """A learner and what it sees; where `most` is given, its log-odds reach that at most."""

    view: Callable[[Features], array[int]]
    learner: Learner
    most: float | None = None

    def bounded(self, log_odds: float) -> float:
        """What is added of it."""
        return log_odds if self.most is None else self.most * math.tanh(log_odds / 2)


@dataclass(frozen=True, slots=True)
class Combination:
    """The sum of its parts."""

    name: str
    parts: tuple[Part, ...]
    least: int = 3
    """Ham, and spam, that must have been trained before anything is said."""

    spam: float = 0.5
    unsure: float = -1.0
    """Log-odds from which it is that."""

    def empty(self) -> State:
        """The state of who has trained nothing."""
        return State(self.name, bytearray(sum(part.learner.size for part in self.parts)))

    def features(self, tokens: Tokens, salt: bytes) -> bytes:
        """The hashed features of a message."""
        return hashing.encode(hashing.of(tokens, salt))

    def classify(self, state: State, features: bytes) -> Score:
        """How likely it is spam."""
        known = hashing.decode(features)
        log_odds = sum(
            part.bounded(part.learner.log_odds(table, part.view(known)))
            for part, table in self._tables(state)
        )
        return Score(log_odds, probability(log_odds), self._verdict(state, log_odds))

    def train(self, state: State, features: bytes, label: Label) -> bytes:
        """Learn that; the result is what `undo` takes."""
        known, spam = hashing.decode(features), label is Label.SPAM
        changes = [
            part.learner.learn(table, part.view(known), spam=spam)
            for part, table in self._tables(state)
        ]
        _count(state, 1, spam=spam)
        parts = b"".join(_LENGTH.pack(len(change)) + change for change in changes)
        learned = features if any(changes) else b""
        return _CHANGE.pack(_VERSION, spam, len(changes)) + parts + learned

    def undo(self, state: State, change: bytes) -> None:
        """Take back what `train` did."""
        before = bytes(state.table)
        try:
            spam, changes, features = self._read(change)
            if any(changes):
                known = hashing.decode(features)
                for (part, table), one in zip(self._tables(state), changes, strict=True):
                    part.learner.undo(table, part.view(known), one)
        except (struct.error, IndexError, FeaturesError) as error:
            state.table[:] = before
            raise StateError(f"no change of {self.name}: {error}") from error
        _count(state, -1, spam=spam)

    def explain(
        self, state: State, tokens: Tokens, salt: bytes, count: int
    ) -> tuple[Evidence, ...]:
        """The words that pull most, the strongest first."""
        known = hashing.of(tokens, salt)
        numbers = hashing.numbers(tokens.words, salt)
        sharing = Counter(numbers)
        pulls = [0.0] * len(numbers)
        patterns = 0.0
        for part, table in self._tables(state):
            view = part.view(known)
            if view is known.runs:
                patterns = part.bounded(part.learner.log_odds(table, view))
                continue
            log_odds = part.learner.log_odds(table, view) if part.most is not None else 0.0
            factor = part.bounded(log_odds) / log_odds if log_odds else 1.0
            shares = {
                number: pull * factor / sharing[number]
                for number, pull in part.learner.pulls(table, view).items()
            }
            added = map(shares.get, numbers, itertools.repeat(0.0))
            pulls = list(map(operator.add, pulls, added))
        told, pulls = (*tokens.words, _RUNS), [*pulls, patterns]
        strength = list(map(abs, pulls))
        found = sorted(range(len(told)), key=strength.__getitem__, reverse=True)[:count]
        return tuple(Evidence(told[one], pulls[one]) for one in found if pulls[one])

    def _verdict(self, state: State, log_odds: float) -> Verdict:
        if min(state.ham, state.spam) < self.least:
            return Verdict.UNTRAINED
        if log_odds >= self.spam:
            return Verdict.SPAM
        return Verdict.UNSURE if log_odds >= self.unsure else Verdict.HAM

    def _tables(self, state: State) -> Iterator[tuple[Part, memoryview]]:
        """Each part with what it has learned; StateError if that is of another size."""
        whole, at = memoryview(state.table), 0
        if len(whole) != sum(part.learner.size for part in self.parts):
            raise StateError(f"{len(whole)} bytes are no table of {self.name}")
        for part in self.parts:
            yield part, whole[at : at + part.learner.size]
            at += part.learner.size

    def _read(self, change: bytes) -> tuple[bool, list[bytes], bytes]:
        version, spam, count = _CHANGE.unpack_from(change)
        if version != _VERSION or count != len(self.parts):
            raise StateError(f"no change of {self.name}")
        at, changes = _CHANGE.size, []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(change, at)
            at += _LENGTH.size + length
            changes.append(change[at - length : at])
        return bool(spam), changes, change[at:]


def _count(state: State, more: int, *, spam: bool) -> None:
    if spam:
        state.spam = min(max(0, state.spam + more), MOST_COUNTED)
    else:
        state.ham = min(max(0, state.ham + more), MOST_COUNTED)
