"""Labelled mail, shown to a classifier that begins with nothing, as its user would see it.

Each message is judged first and trained afterwards: at once, or `delay` messages later, and with a
wrong label for a share of `noise`. All of the stream counts, its beginning too. A spam message that
is not called spam is missed, whether it was called ham, unsure, or nothing for lack of training.
"""

from __future__ import annotations

import os
import random
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmtp.bayes.classifier import Classifier, Label, Verdict
from lmtp.bayes.tokens import MAX_MESSAGE, tokens

_SALT = b"evaluation"
_SEED = 20_110_401
"""Of the labels that are turned round: the same in each evaluation."""

_RANGES = ((1, 200), (201, 1000), (1001, None))


class EvaluationError(Exception):
    """The index or a message of it cannot be read; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of an index."""

    label: Label
    path: Path


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of a message."""

    label: Label
    log_odds: float
    verdict: Verdict
    seconds: float
    """Of a processor, for tokens, features and the judgement; not for reading and training."""

    @property
    def right(self) -> bool:
        """Whether it went where it belongs: ham that is unsure stays in the inbox."""
        return (self.verdict is Verdict.SPAM) is (self.label is Label.SPAM)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    judged: Sequence[Judged]
    state_bytes: int

    @property
    def messages(self) -> int:
        """How many there were."""
        return len(self.judged)

    @property
    def false_positives(self) -> int:
        """Ham that was called spam."""
        return sum(not one.right for one in self.judged if one.label is Label.HAM)

    @property
    def misses(self) -> int:
        """Spam that was not called spam."""
        return sum(not one.right for one in self.judged if one.label is Label.SPAM)

    @property
    def unsure(self) -> int:
        """Messages, ham or spam, of which nothing was said, for lack of training too."""
        silent = {Verdict.UNSURE, Verdict.UNTRAINED}
        return sum(one.verdict in silent for one in self.judged)

    @property
    def accuracy_percent(self) -> float | None:
        """Of all."""
        return _accuracy(self.judged)

    @property
    def accuracy_by_range(self) -> dict[str, float | None]:
        """Of the first 200, of the next 800, and of the rest."""
        return {
            f"{first}-{last}" if last else "after": _accuracy(self.judged[first - 1 : last])
            for first, last in _RANGES
        }

    @property
    def one_minus_auc_percent(self) -> float | None:
        """How often a ham message has the higher score of a pair; a tie counts half."""
        return one_minus_auc_percent([(one.log_odds, one.label) for one in self.judged])

    @property
    def messages_per_second(self) -> float | None:
        """That one processor core makes tokens and features of and judges."""
        seconds = sum(one.seconds for one in self.judged)
        return self.messages / seconds if seconds else None

    @property
    def slowest_hundredth(self) -> float | None:
        """Seconds that one message in a hundred takes at least."""
        times = sorted(one.seconds for one in self.judged)
        return times[len(times) * 99 // 100] if times else None


def read_index(index: Path) -> list[Entry]:
    """The messages of an index, `spam|ham path` a line; paths are relative to its folder."""
    try:
        lines = index.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise EvaluationError(f"{index}: {error.strerror}") from error
    return [
        _entry(line.rstrip(b"\r"), index, number)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def evaluate(
    entries: Sequence[Entry],
    classifier: Classifier,
    *,
    noise: float = 0.0,
    delay: int = 0,
    progress: Callable[[int], None] = lambda _done: None,
) -> Result:
    """Show them one after the other; `progress` is told after each how many are done."""
    dice = random.Random(_SEED)  # noqa: S311 - the same labels in each run
    state = classifier.empty()
    waiting: deque[tuple[bytes, Label]] = deque()
    judged = []
    for number, entry in enumerate(entries, 1):
        message = _read(entry.path)
        began = time.process_time()
        features = classifier.features(tokens(message), _SALT)
        score = classifier.classify(state, features)
        seconds = time.process_time() - began
        judged.append(Judged(entry.label, score.log_odds, score.verdict, seconds))
        wrong = dice.random() < noise
        waiting.append((features, _other(entry.label) if wrong else entry.label))
        if len(waiting) > delay:
            classifier.train(state, *waiting.popleft())
        progress(number)
    return Result(judged, len(state.encode()))


def one_minus_auc_percent(scored: Sequence[tuple[float, Label]]) -> float | None:
    """Of scores and labels, by ranks; None where one of the labels does not occur."""
    ordered = sorted(scored, key=lambda one: one[0])
    spam_below = lost = 0
    for group in _ties(ordered):
        spam = sum(label is Label.SPAM for _score, label in group)
        ham = len(group) - spam
        lost += ham * (2 * spam_below + spam)
        spam_below += spam
    pairs = spam_below * (len(ordered) - spam_below)
    return 100 * lost / (2 * pairs) if pairs else None


def _ties(ordered: Sequence[tuple[float, Label]]) -> Iterator[Sequence[tuple[float, Label]]]:
    first = 0
    for at in range(1, len(ordered) + 1):
        if at == len(ordered) or ordered[at][0] != ordered[first][0]:
            yield ordered[first:at]
            first = at


def _accuracy(judged: Sequence[Judged]) -> float | None:
    return 100 * sum(one.right for one in judged) / len(judged) if judged else None


def _other(label: Label) -> Label:
    return Label.HAM if label is Label.SPAM else Label.SPAM


def _entry(line: bytes, index: Path, number: int) -> Entry:
    word, *names = line.split(None, 1)
    try:
        label = Label(word.decode("ascii", "replace"))
        path = index.parent / os.fsdecode(names[0])
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise EvaluationError(f"{index}:{number}: {error.filename}: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise EvaluationError(f"{index}:{number}: expected `spam path` or `ham path`") from error
    if not regular:
        raise EvaluationError(f"{index}:{number}: {path}: no file")
    return Entry(label, path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_MESSAGE)
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror}") from error
