"""Deadlines nest."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from iems.serve.deadline import Deadline

_SECONDS = st.floats(min_value=-1e6, max_value=1e6)


@given(_SECONDS)
def test_what_remains_is_never_negative_and_never_more_than_given(seconds: float) -> None:
    remaining = Deadline.after(seconds).remaining()
    assert 0.0 <= remaining <= max(0.0, seconds)


@given(_SECONDS)
def test_it_is_expired_when_nothing_remains(seconds: float) -> None:
    deadline = Deadline.after(seconds)
    assert deadline.expired == (deadline.remaining() == 0.0)


@given(_SECONDS, st.lists(_SECONDS))
def test_one_made_from_another_never_lies_after_it(first: float, others: list[float]) -> None:
    outer = deadline = Deadline.after(first)
    for seconds in others:
        deadline = deadline.sooner(seconds)
        assert deadline.at <= outer.at
        assert deadline.at <= time.monotonic() + seconds
