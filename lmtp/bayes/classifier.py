"""What every classifier is, and those there are.

A classifier keeps nothing: what it has learned of a user is in a `State`, which is the caller's.
`train` returns the change that it made, and `undo` takes exactly that back, also after others have
been made. Features and changes are bytes, to be kept by who cannot read them.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Mapping
from typing import Protocol

from lmtp.bayes.combination import Combination, Part
from lmtp.bayes.features import RUNS, WORDS, Features, FeaturesError
from lmtp.bayes.fisher import Fisher
from lmtp.bayes.score import Evidence, Label, Score, Verdict
from lmtp.bayes.state import MAX_STATE, State, StateError, decode
from lmtp.bayes.tokens import Tokens
from lmtp.bayes.weights import Weights

__all__ = [
    "CLASSIFIERS",
    "DEFAULT",
    "MAX_STATE",
    "PARTS",
    "Classifier",
    "Evidence",
    "FeaturesError",
    "Label",
    "Score",
    "State",
    "StateError",
    "Verdict",
    "decode",
]


class Classifier(Protocol):
    """Judges by what it was shown."""

    @property
    def name(self) -> str:
        """As in the settings and in a state."""

    def empty(self) -> State:
        """The state of a user who has trained nothing."""

    def features(self, tokens: Tokens, salt: bytes) -> bytes:
        """A message, hashed: what `classify` and `train` need of it, a few KiB at most.

        They are the same for all classifiers, so that one may take the place of another.
        """

    def classify(self, state: State, features: bytes) -> Score:
        """How likely it is spam. FeaturesError if these bytes are none."""

    def train(self, state: State, features: bytes, label: Label) -> bytes:
        """Change the state in place; the result is the change, for `undo`."""

    def undo(self, state: State, change: bytes) -> None:
        """Take one change back, exactly, in whatever order. StateError if these bytes are none."""

    def explain(
        self, state: State, tokens: Tokens, salt: bytes, count: int
    ) -> tuple[Evidence, ...]:
        """The words that pull most, the strongest first; positive is towards spam."""


def _words(features: Features) -> array[int]:
    return features.header + features.body


_REGRESSIONS = (
    Part(operator.attrgetter("header"), Weights(WORDS)),
    Part(operator.attrgetter("body"), Weights(WORDS)),
    Part(operator.attrgetter("runs"), Weights(RUNS)),
)

PARTS = (*_REGRESSIONS, Part(_words, Fisher(), most=2.0))
"""Of the default."""

CLASSIFIERS: Mapping[str, Classifier] = {
    one.name: one
    for one in (
        Combination("combination", PARTS),
        Combination("regression", _REGRESSIONS),
        Combination("fisher", (Part(_words, Fisher()),)),
    )
}

DEFAULT = "combination"
