"""A scanner whose word that something is clean counts only while it finds the test virus.

A server without signatures, or that has lost the scanner behind it, may say of everything that it
is clean, and so may a command that was set up wrong. What it says of the test virus is asked again
when a minute has passed, by the message that comes then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from iems.serve.deadline import Deadline
from milters.engines.engine import EngineError
from milters.engines.scanner import EICAR, Octets, Scanned, Verdict

SECONDS = 60.0


class Scans(Protocol):
    """One that may be wrong about what is clean."""

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        """What it says by the deadline; EngineError."""
        ...


@dataclass
class Proven:
    """One of those, asked by many threads at once."""

    scanner: Scans
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)
    _found: float = field(default=-math.inf, init=False, compare=False)
    """When it last found the test virus."""

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        """What it says by the deadline; EngineError where nothing proves it."""
        said = self.scanner.scan(octets, deadline)
        if said.verdict is Verdict.CLEAN and self.clock() - self._found > SECONDS:
            self._prove(deadline)
        return said

    def ping(self, deadline: Deadline) -> str:
        """Why it does not answer, or finds nothing; empty where it does."""
        try:
            self._prove(deadline)
        except EngineError as error:
            return str(error)
        return ""

    def _prove(self, deadline: Deadline) -> None:
        now = self.clock()
        if self.scanner.scan(Octets.of(EICAR), deadline).verdict is not Verdict.INFECTED:
            raise EngineError("does not find the test virus")
        self._found = now
