"""What a virus scanner is: it is given octets and says what they are."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from iems.serve.deadline import Deadline

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!" + b"$H+H*"
"""What every scanner finds and harms nobody; in pieces, for it is found in files of source, too."""


class Verdict(enum.Enum):
    """What it says, by the word that is the finding's."""

    CLEAN = "clean"
    INFECTED = "infected"
    ENCRYPTED = "encrypted"
    UNSCANNED = "unscanned"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What it says, and what it found, or why it did not look: text of the scanner's own."""

    verdict: Verdict
    name: str = ""


_NO_VIRUS = {
    "Heuristics.Encrypted.": Verdict.ENCRYPTED,
    "Heuristics.Limits.Exceeded": Verdict.UNSCANNED,
}


def named(name: str) -> Scanned:
    """What is found under this name: of clamd's, some are not viruses."""
    for prefix, verdict in _NO_VIRUS.items():
        if name.startswith(prefix):
            return Scanned(verdict, name)
    return Scanned(Verdict.INFECTED, name)


@dataclass(frozen=True, slots=True)
class Octets:
    """What is scanned: so many bytes, in pieces that can be had again."""

    size: int
    pieces: Callable[[], Iterator[bytes]]

    @classmethod
    def of(cls, data: bytes) -> Octets:
        """These bytes."""
        return cls(len(data), lambda: iter((data,)))


class Scanner(Protocol):
    """One scanner of one kind, asked by many threads at once."""

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        """What it says by the deadline; EngineError where it says nothing that can be trusted."""
        ...

    def ping(self, deadline: Deadline) -> str:
        """Why it does not answer; empty where it does."""
        ...
