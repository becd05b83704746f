"""Waiting in tests: until a thing is so, or loudly not. Nothing here waits for a fixed time.

A predicate may raise nothing: where "not yet" shows as an error, the caller turns it into False.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1
"""Seconds between two looks: short at first, for most things happen within milliseconds."""

_BUSY = 3
"""How much longer than its deadline a thing may take where others keep the machine busy."""


def eventually(
    predicate: Callable[[], _Value],
    deadline: float = 10.0,
    message: str | Callable[[], str] = "",
) -> _Value:
    """The first true value of `predicate`; AssertionError with `message` after `deadline` seconds.

    That many are enough on a machine that does nothing else, and three times as many are waited:
    how soon a thing happens is no claim of who waits for it.

    `message` may be a function, called only at the failure, to show what was there instead.
    """
    end = time.monotonic() + deadline * _BUSY
    pause = _FIRST_PAUSE
    clock = threading.Event()
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            told = message() if callable(message) else message
            raise AssertionError(f"not within {deadline * _BUSY} s: {told or predicate}")
        clock.wait(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
