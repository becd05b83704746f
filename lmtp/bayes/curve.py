"""How well a filter learns, by the journal of its user: pure, from its entries alone.

An entry has the score that the message had before it was trained, so each says whether the filter
was right then: the log-odds of spam were above 0, those of ham below. Where it had said nothing the
entry counts as trained and as neither right nor wrong. Nothing is known of mail about which the
user said nothing; who corrects mistakes alone sees those alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lmtp.bayes.score import Label
from lmtp.bayes.store import Entry

WINDOW, FEW = 50, 10
"""Messages over which the curve has its accuracy, a mistake being 2 %; of fewer it has none."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of how many messages the filter had said something, and how often it was right."""

    said: int = 0
    right: int = 0

    @property
    def percent(self) -> float | None:
        """None where it had said nothing."""
        return 100 * self.right / self.said if self.said else None


@dataclass(frozen=True, slots=True)
class Point:
    """When a message was trained: what had been trained by then, and how right it was of late."""

    time: float
    ham: int
    spam: int
    accuracy: float | None
    """In percent, of the last `WINDOW` of which the filter had said something."""


def right(entry: Entry) -> bool | None:
    """Whether the filter had been right; None where it had said nothing."""
    if not entry.score:
        return None
    return (entry.score > 0) is (entry.label is Label.SPAM)


def tally(entries: Iterable[Entry], since: float) -> Tally:
    """Of those that were trained since then."""
    answers = [right(entry) for entry in entries if entry.time >= since]
    said = [one for one in answers if one is not None]
    return Tally(len(said), sum(said))


def points(
    entries: Sequence[Entry], ham: int, spam: int, window: int = WINDOW, few: int = FEW
) -> Iterator[Point]:
    """One for each entry, the oldest first; `ham` and `spam` are what is trained in all today.

    What is not in the journal any more was trained before its first entry.
    """
    ordered = sorted(entries, key=lambda entry: entry.time)
    spam_there = sum(entry.label is Label.SPAM for entry in ordered)
    known = {
        Label.HAM: max(0, ham - (len(ordered) - spam_there)),
        Label.SPAM: max(0, spam - spam_there),
    }
    latest: deque[bool] = deque(maxlen=window)
    for entry in ordered:
        known[entry.label] += 1
        if (answer := right(entry)) is not None:
            latest.append(answer)
        accuracy = 100 * sum(latest) / len(latest) if len(latest) >= few else None
        yield Point(entry.time, known[Label.HAM], known[Label.SPAM], accuracy)
