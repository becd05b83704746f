"""How right a filter was, and what had been trained by when, of the entries of a journal alone."""

from __future__ import annotations

import pytest

from lmtp.bayes.curve import Point, Tally, points, right, tally
from lmtp.bayes.score import Label
from lmtp.bayes.store import Entry

HAM, SPAM = Label.HAM, Label.SPAM


def entry(label: Label, score: float | None, time: float = 0.0) -> Entry:
    return Entry(b"key", label, time, "move", score, b"")


@pytest.mark.parametrize(
    ("label", "score", "answer"),
    [
        (SPAM, 0.1, True),
        (SPAM, -0.1, False),
        (HAM, -0.1, True),
        (HAM, 0.1, False),
        (HAM, 0.0, None),
        (SPAM, None, None),
    ],
)
def test_an_entry_says_whether_the_filter_was_right(
    label: Label, score: float | None, answer: bool | None
) -> None:
    assert right(entry(label, score)) is answer


def test_those_of_late_are_counted() -> None:
    entries = [entry(SPAM, 1.0, 9.9), entry(SPAM, 1.0, 10.0), entry(HAM, 1.0, 11.0)]
    found = tally([*entries, entry(HAM, None, 12.0)], since=10.0)
    assert found == Tally(2, 1)
    assert found.percent == 50.0
    assert tally(entries, since=20.0).percent is None


def test_the_curve_begins_with_what_the_journal_has_forgotten() -> None:
    entries = [entry(SPAM, 1.0, 3.0), entry(HAM, 1.0, 1.0), entry(HAM, None, 2.0)]
    assert list(points(entries, ham=10, spam=5, few=1)) == [
        Point(1.0, 9, 4, 0.0),
        Point(2.0, 10, 4, 0.0),
        Point(3.0, 10, 5, 50.0),
    ]
    # What was counted is less than what the journal has, as after a state was made anew.
    assert [(one.ham, one.spam) for one in points(entries, ham=0, spam=0)][-1] == (2, 1)


def test_the_accuracy_is_that_of_the_last_ones_and_of_enough() -> None:
    entries = [entry(SPAM, -1.0, number) for number in range(4)]
    entries += [entry(SPAM, 1.0, number) for number in range(4, 10)]
    found = [one.accuracy for one in points(entries, 0, 10, window=5, few=3)]
    assert found == [None, None, 0, 0, 20, 40, 60, 80, 100, 100]
