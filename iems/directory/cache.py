"""A directory that remembers another's answers for a while.

What was found is kept for `ttl`, what was not found for at most 10 s, so that a new user's mail is
not refused for long; the least recently used answers make room for new ones. An error is never
remembered, and nothing is served beyond its time, not even when the directory is down. Thread-safe.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

from iems.directory.reader import CatchAll, Directory, Entry
from iems.model.address import Address
from iems.model.policy import Layer
from iems.serve.deadline import Deadline

T = TypeVar("T")

MAX_NEGATIVE = 10.0
"""Seconds that "there is none" is believed."""

SIZE = 20_000
"""Answers of each kind; an entry takes about 1 KiB, so 20 MiB a process."""


class CachedDirectory:
    """See `Directory`; `ttl` in seconds, 0 remembers nothing."""

    def __init__(
        self,
        directory: Directory,
        ttl: float,
        *,
        size: int = SIZE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._entries = _Memory[Entry](ttl, size, clock)
        self._catch_alls = _Memory[CatchAll](ttl, size, clock)
        self._layers = _Memory[Layer](ttl, size, clock)

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        """See `Directory`."""
        wanted = {address.key: address for address in addresses}
        return self._entries.get(
            wanted,
            lambda keys: self._directory.find([wanted[key] for key in keys], deadline),
        )

    def find_catch_all(
        self, domains: Collection[str], deadline: Deadline
    ) -> Mapping[str, CatchAll]:
        """See `Directory`."""
        return self._catch_alls.get(
            domains, lambda names: self._directory.find_catch_all(names, deadline)
        )

    def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
        """See `Directory`."""
        return self._layers.get(names, lambda missing: self._directory.domains(missing, deadline))


class _Memory(Generic[T]):
    """Answers by key; None is the answer that there is none."""

    def __init__(self, ttl: float, size: int, clock: Callable[[], float]) -> None:
        self._ttl = ttl
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, T | None]] = OrderedDict()

    def get(
        self, keys: Iterable[str], ask: Callable[[Collection[str]], Mapping[str, T]]
    ) -> Mapping[str, T]:
        """What stands under the keys; those not remembered are asked for, all at once."""
        found, missing = self._recall(keys)
        if missing:
            answers = ask(missing)
            self._keep({key: answers.get(key) for key in missing})
            found.update(answers)
        return found

    def _recall(self, keys: Iterable[str]) -> tuple[dict[str, T], list[str]]:
        found: dict[str, T] = {}
        missing: list[str] = []
        now = self._clock()
        with self._lock:
            for key in dict.fromkeys(keys):
                until, value = self._known.get(key, (now, None))
                if until <= now:
                    missing.append(key)
                    continue
                self._known.move_to_end(key)
                if value is not None:
                    found[key] = value
        return found, missing

    def _keep(self, answers: Mapping[str, T | None]) -> None:
        now = self._clock()
        with self._lock:
            for key, value in answers.items():
                ttl = self._ttl if value is not None else min(self._ttl, MAX_NEGATIVE)
                self._known[key] = (now + ttl, value)
                self._known.move_to_end(key)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
