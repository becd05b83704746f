"""Bounds of processor time in tests, for work that is to be in proportion to its bytes.

What the bound is set against takes many times as long. The collection of garbage is put off
meanwhile: late in a run of all tests it has a second's worth of others' objects to look through.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def costs_less(seconds: float) -> Iterator[None]:
    """The block takes less of its own thread's processor time."""
    gc.disable()
    began = time.thread_time()
    try:
        yield
        spent = time.thread_time() - began
    finally:
        gc.enable()
    assert spent < seconds
