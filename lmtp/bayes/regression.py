"""Online logistic regression with margin training: the default."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import starmap

from lmtp.bayes import features as hashing
from lmtp.bayes.score import Evidence, Label, Score, Verdict
from lmtp.bayes.state import State
from lmtp.bayes.tokens import Tokens

_SLOTS = 1 << 16
_UNIT = 1024
"""A weight of 1 in the table."""

_CHANGE = struct.Struct(">bih")


@dataclass(frozen=True, slots=True)
class Regression:
    """Weights of hashed words."""

    name: str = "regression"
    minimum: int = 10
    """Ham, and spam, that must have been trained before anything is said."""

    unsure: float = 0.5
    spam: float = 0.5
    margin: float = 0.1

    def empty(self) -> State:
        """The state of who has trained nothing."""
        return State(self.name, bytearray(2 * _SLOTS))

    def features(self, tokens: Tokens, salt: bytes) -> bytes:
        """The hashed features of a message."""
        return hashing.encode(hashing.of(tokens, salt))

    def classify(self, state: State, features: bytes) -> Score:
        """How likely it is spam."""
        z = self._z(state, hashing.decode(features))
        probability = 1 / (1 + math.exp(-max(-700.0, min(700.0, z))))
        return Score(z, probability, self._verdict(state, probability))

    def train(self, state: State, features: bytes, label: Label) -> bytes:
        """Learn that; the result is what `undo` takes."""
        known = hashing.decode(features)
        z = self._z(state, known)
        error = (label is Label.SPAM) - 1 / (1 + math.exp(-max(-700.0, min(700.0, z))))
        step = 0
        if abs(error) > self.margin:
            rate = max(1.0, 10 / (1 + state.steps / 200))
            step = round(_UNIT * rate * error / math.sqrt(len(known.words) + 1))
        spam = 1 if label is Label.SPAM else 0
        self._apply(state, known, step, spam, 1)
        return _CHANGE.pack(spam, step, 0) + features

    def undo(self, state: State, change: bytes) -> None:
        """Take back what `train` did."""
        spam, step, _nothing = _CHANGE.unpack_from(change)
        self._apply(state, hashing.decode(change[_CHANGE.size :]), -step, spam, -1)

    def explain(
        self, state: State, tokens: Tokens, salt: bytes, count: int
    ) -> tuple[Evidence, ...]:
        """The words that pull most, the strongest first."""
        weights = memoryview(state.table).cast("h")
        norm = _UNIT * math.sqrt(len(tokens.words) + 1)
        slots = hashing.hashed(tokens.words, salt)
        pulls = zip(tokens.words, (weights[slot] / norm for slot in slots), strict=True)
        found = sorted(starmap(Evidence, pulls), key=lambda one: -abs(one.pull))
        return tuple(one for one in found[:count] if one.pull)

    def _verdict(self, state: State, probability: float) -> Verdict:
        if min(state.ham, state.spam) < self.minimum:
            return Verdict.UNTRAINED
        if probability >= self.spam:
            return Verdict.SPAM
        return Verdict.UNSURE if probability >= self.unsure else Verdict.HAM

    def _z(self, state: State, known: hashing.Features) -> float:
        weights = memoryview(state.table).cast("h")
        total = sum(map(weights.__getitem__, known.words)) + state.bias
        return total / (_UNIT * math.sqrt(len(known.words) + 1))

    def _apply(
        self, state: State, known: hashing.Features, step: int, spam: int, count: int
    ) -> None:
        state.spam += spam * count
        state.ham += (1 - spam) * count
        if not step:
            return
        state.steps += count
        state.bias += step
        weights = memoryview(state.table).cast("h")
        for slot in known.words:
            weights[slot] = (weights[slot] + step + 0x8000 & 0xFFFF) - 0x8000
