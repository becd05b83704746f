"""Connections to a server that are kept for the next question; thread-safe.

They are opened when they are wanted (so after the fork), at most `size` of them, each used by one
thread at a time. A kept one that turns out to be dead is replaced once, if what is asked may be
asked again; every other fault ends its connection.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from iems.directory.reader import DirectoryUnavailable
from iems.serve.deadline import Deadline

C = TypeVar("C")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Way(Generic[C]):
    """How a connection to `name` is opened and ended, and what says that it is dead."""

    name: str
    open: Callable[[Deadline], C]
    end: Callable[[C], None]
    dead: type[Exception]


class Pool(Generic[C]):
    """See above."""

    def __init__(self, way: Way[C], size: int) -> None:
        self._way = way
        self._free = threading.BoundedSemaphore(size)
        self._kept: list[C] = []
        self._lock = threading.Lock()

    def do(self, ask: Callable[[C], T], deadline: Deadline, *, again: bool) -> T:
        """What `ask` makes of a connection; DirectoryUnavailable where none is free in time."""
        with self._turn(deadline):
            kept = self._take()
            try:
                return self._use(kept or self._way.open(deadline), ask)
            except self._way.dead:
                if kept is None or not again or deadline.expired:
                    raise
                # The server may have been restarted, or have dropped who was idle for long.
                return self._use(self._way.open(deadline), ask)

    def _use(self, connection: C, ask: Callable[[C], T]) -> T:
        try:
            result = ask(connection)
        except BaseException:
            self._way.end(connection)
            raise
        with self._lock:
            self._kept.append(connection)
        return result

    @contextlib.contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        if not self._free.acquire(timeout=deadline.remaining()):
            raise DirectoryUnavailable(f"{self._way.name}: no free connection in time")
        try:
            yield
        finally:
            self._free.release()

    def _take(self) -> C | None:
        with self._lock:
            return self._kept.pop() if self._kept else None
