"""What a message may cost: a second of processor time, and twenty times its bytes of memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

SECONDS = 1.0
TIMES = 20
SPARE = 1 << 20
"""Bytes that any message may take, however small: pieces of text and what is kept for the next."""

UNPACKED = 192 << 20
"""The same where archives are looked into: for a dictionary of LZMA (128 MiB at most), and for what
small files may grow to."""


def within(law: Callable[[bytes], None], spare: int) -> Callable[[bytes], None]:
    """The law, with the bounds; memory is what Python's own allocators hand out."""

    def bounded(data: bytes) -> None:
        tracemalloc.start()
        gc.disable()
        try:
            began = time.thread_time()
            law(data)
            seconds = time.thread_time() - began
            _now, most = tracemalloc.get_traced_memory()
        finally:
            gc.enable()
            tracemalloc.stop()
        assert seconds < SECONDS, f"{seconds:.1f} s of processor time"
        assert most < TIMES * len(data) + spare, f"{most} bytes of memory"

    return bounded
