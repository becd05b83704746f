"""A scanner is believed that something is clean while it finds the test virus."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from iems.serve.deadline import Deadline
from milters.engines.engine import EngineError
from milters.engines.proven import Proven
from milters.engines.scanner import EICAR, Octets, Scanned, Verdict

WITHIN = Deadline.after(60)


@dataclass
class Scripted:
    """Finds the test virus, and what begins with it, while it is not `blind`."""

    blind: bool = False
    down: bool = False
    asked: list[bytes] = field(default_factory=list)

    def scan(self, octets: Octets, _deadline: Deadline) -> Scanned:
        data = b"".join(octets.pieces())
        self.asked.append(data)
        if self.down:
            raise EngineError("is down")
        hit = EICAR in data and not self.blind
        return Scanned(Verdict.INFECTED, "Eicar") if hit else Scanned(Verdict.CLEAN)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_clean_counts_while_the_test_virus_is_found() -> None:
    """It is asked about it with the first message, and again when a minute has passed."""
    scanner, clock = Scripted(), Clock()
    one = Proven(scanner, clock)
    for later in (0, 59, 2, 1):
        clock.now += later
        assert one.scan(Octets.of(b"x"), WITHIN).verdict is Verdict.CLEAN
    assert scanner.asked == [b"x", EICAR, b"x", b"x", EICAR, b"x"]


def test_who_finds_nothing_is_not_believed() -> None:
    scanner, clock = Scripted(), Clock()
    one = Proven(scanner, clock)
    assert one.scan(Octets.of(b"x"), WITHIN).verdict is Verdict.CLEAN
    scanner.blind = True
    clock.now += 61
    for _time in range(2):
        with pytest.raises(EngineError, match="does not find the test virus"):
            one.scan(Octets.of(b"x"), WITHIN)
    scanner.blind = False
    assert one.scan(Octets.of(b"x"), WITHIN).verdict is Verdict.CLEAN


def test_what_is_found_needs_no_proof() -> None:
    scanner = Scripted()
    said = Proven(scanner).scan(Octets.of(b"x" + EICAR), WITHIN)
    assert said.verdict is Verdict.INFECTED
    assert len(scanner.asked) == 1


def test_it_is_looked_after_in_the_same_way() -> None:
    scanner = Scripted()
    one = Proven(scanner)
    assert one.ping(WITHIN) == ""
    assert one.scan(Octets.of(b"x"), WITHIN).verdict is Verdict.CLEAN
    assert scanner.asked == [EICAR, b"x"]
    scanner.blind = True
    assert one.ping(WITHIN) == "does not find the test virus"
    scanner.down = True
    assert one.ping(WITHIN) == "is down"
