"""A point of time by which something must be answered.

Deadlines nest: one made by `sooner` never lies after the one it comes from.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point of `time.monotonic()`, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline so many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() <= 0.0

    def sooner(self, seconds: float) -> Deadline:
        """The earlier of this one and so many seconds from now."""
        return min(self, Deadline.after(seconds), key=lambda one: one.at)
