"""Whether what a process holds grows: numbers in, sentences out. No measurement happens here.

The first third of the samples is warm-up: caches fill, threads and connections come into being. Of
the rest the medians of the first and the last half are compared, so that what comes and goes with
the load is no growth, and something that stays of every message is.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

WARM_UP = 1 / 3

ALLOWED: Mapping[str, float] = {"KiB": 2560, "descriptors": 20, "threads": 20}
"""Growth of the median that counts as none. SQLite fills up to 2 MiB of pages while records are
written, which showed as one step after 14,000 messages of a worker. Descriptors and threads are
those of the 20 sessions that are open at most, for how they fall to two workers changes."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: who it is, and what it held at each sample, by the quantities of `ALLOWED`."""

    name: str
    held: Mapping[str, Sequence[float]]


def grown(process: Process) -> Iterator[str]:
    """What of this process grew."""
    for quantity, allowed in ALLOWED.items():
        before, after = halves(process.held[quantity])
        if after - before > allowed:
            yield f"{process.name}: {before:.0f} to {after:.0f} {quantity}"


def halves(values: Sequence[float]) -> tuple[float, float]:
    """The medians of both halves of what follows the warm-up."""
    settled = values[int(len(values) * WARM_UP) :]
    middle = len(settled) // 2
    if not middle:
        raise ValueError(f"{len(values)} samples; expected more")
    return statistics.median(settled[:middle]), statistics.median(settled[middle:])
