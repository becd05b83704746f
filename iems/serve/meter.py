"""What a process counts, times and complains about, for `iems status` and `iems metrics`.

A meter belongs to one process; all threads may use it, and it blocks on nothing but its own lock.
Its snapshot travels with each beat (`control`) to the supervisor, which adds the processes up
(`status`). Labels come from closed sets (checks, bands, actions), never from a message.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    300.0,
)
"""Seconds: from what a cached answer takes to Postfix's milter_content_timeout."""

ERRORS = 5
"""The last errors that are kept; the log has them all."""

_TEXT = 300
"""Characters of an error that are kept: a snapshot must fit into one datagram."""

Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels."""


@dataclass(frozen=True, slots=True)
class Error:
    """An error line of the log; `time` in seconds of the epoch."""

    time: float
    text: str


@dataclass(slots=True)
class Times:
    """How long something took: how often per bucket, the last one without a bound, and in all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, other: Times) -> None:
        """Both together."""
        self.counts = [one + two for one, two in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@dataclass(slots=True)
class Snapshot:
    """All that a process has measured; counters and times only grow, levels are as they are now."""

    counters: dict[Series, float] = field(default_factory=dict)
    levels: dict[Series, float] = field(default_factory=dict)
    times: dict[Series, Times] = field(default_factory=dict)
    errors: list[Error] = field(default_factory=list)

    def add(self, other: Snapshot) -> None:
        """Take in what another process has measured; of its levels, the greater ones."""
        for series, value in other.counters.items():
            self.counters[series] = self.counters.get(series, 0.0) + value
        for series, value in other.levels.items():
            self.levels[series] = max(self.levels.get(series, value), value)
        for series, times in other.times.items():
            self.times.setdefault(series, Times()).add(times)
        self.errors = sorted({*self.errors, *other.errors}, key=lambda one: one.time)[-ERRORS:]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "counters": [
                [name, dict(labels), one] for (name, labels), one in self.counters.items()
            ],
            "levels": [[name, dict(labels), one] for (name, labels), one in self.levels.items()],
            "times": [
                [name, dict(labels), one.counts, one.total]
                for (name, labels), one in self.times.items()
            ],
            "errors": [[one.time, one.text] for one in self.errors],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Snapshot:
        """The reverse of `document`; ValueError where it is none."""
        try:
            return cls._read(document)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no snapshot: {type(error).__name__}: {error}") from None

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> Snapshot:
        times = {}
        for name, labels, counts, total in document["times"]:
            if len(counts) != len(BUCKETS) + 1:
                raise ValueError("times with other buckets")
            times[series(name, labels)] = Times([int(count) for count in counts], float(total))
        return cls(
            {series(name, labels): float(one) for name, labels, one in document["counters"]},
            {series(name, labels): float(one) for name, labels, one in document["levels"]},
            times,
            [Error(float(when), str(text)) for when, text in document["errors"]],
        )


def series(name: str, labels: Mapping[str, str]) -> Series:
    """The key of a name with its labels."""
    return name, tuple(sorted(labels.items()))


class Meter:
    """Of one process; names as they appear in `docs/metrics.md`, without `iems_`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = Snapshot()
        self._errors: deque[Error] = deque(maxlen=ERRORS)
        self._read: dict[str, Callable[[], int]] = {}

    def count(self, name: str, **labels: str) -> None:
        """One more of this."""
        self.count_all([series(name, labels)])

    def count_all(self, keys: Iterable[Series]) -> None:
        """One more of each of these."""
        with self._lock:
            counters = self._seen.counters
            for key in keys:
                counters[key] = counters.get(key, 0.0) + 1.0

    def level(self, name: str, value: float, **labels: str) -> None:
        """It is so much now."""
        with self._lock:
            self._seen.levels[series(name, labels)] = value

    @contextmanager
    def timed(self, name: str, **labels: str) -> Iterator[None]:
        """How long the block takes, also where it fails."""
        begun = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - begun
            key = series(name, labels)
            with self._lock:
                times = self._seen.times.setdefault(key, Times())
                times.counts[bisect_left(BUCKETS, seconds)] += 1
                times.total += seconds

    def watch(self, name: str, read: Callable[[], int]) -> None:
        """A counter that somebody else keeps."""
        self._read[name] = read

    def error(self, text: str) -> None:
        """An error that was logged."""
        self._errors.append(Error(time.time(), text[:_TEXT]))
        self.count("errors_total")

    def snapshot(self) -> Snapshot:
        """All that was measured so far."""
        watched = {series(name, {}): float(read()) for name, read in self._read.items()}
        with self._lock:
            seen = self._seen
            times = {key: Times(list(one.counts), one.total) for key, one in seen.times.items()}
            counters = {**seen.counters, **watched}
            return Snapshot(counters, dict(seen.levels), times, list(self._errors))
