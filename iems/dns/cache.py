"""Answers kept for their time to live, a bounded number of bounded size, in one process's memory.

Only what the zone itself said is kept, and never longer than `LONGEST`. The age of an entry is not
counted: of two generations the older is thrown away whole when the younger is full.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from iems.dns.resolver import Answer, Rtype

SIZE = 8192
"""Answers in one generation, about 4 MB: two minutes of 17 connections/s with four lists each."""

LARGEST = 4096
"""Characters of an answer that is kept. Senders choose names whose TXT records have 64 KiB: a
generation of those would hold 500 MB, and one of these 34."""

LONGEST = 300
"""Seconds: a client that was taken off a list is free again in five minutes at the latest."""

Key = tuple[str, Rtype]


class Cache:
    """Used by several threads: each step is one operation on a dict."""

    def __init__(self, size: int = SIZE, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._young: dict[Key, tuple[float, Answer]] = {}
        self._old: dict[Key, tuple[float, Answer]] = {}

    def get(self, key: Key) -> Answer | None:
        """The answer, if it has not expired."""
        found = self._young.get(key) or self._old.get(key)
        if found is None or found[0] <= self._clock():
            return None
        return found[1]

    def put(self, key: Key, answer: Answer) -> None:
        """Keep it for as long as it says."""
        if not answer.status.definite or answer.ttl <= 0 or not self._size:
            return
        if sum(map(len, answer.records)) > LARGEST:
            return
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = (self._clock() + min(answer.ttl, LONGEST), answer)
