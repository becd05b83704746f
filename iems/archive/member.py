"""What archives hold, what is wrong with them, and how much of them is looked at."""

from __future__ import annotations

import enum
import math
import time
from dataclasses import dataclass

RATIO, FREE = 250, 1 << 20
"""A file may grow by this factor, and to this many octets in any case. Deflate reaches 1,032 with
zeros, and bzip2 and LZMA thousands; logs and tables of honest mail stay below 100."""


class Fault(enum.Enum):
    """Why not all of an archive is known, by the word that reports and rules have for it."""

    ENCRYPTED = "encrypted"
    """It needs a password."""

    BROKEN = "broken"
    """It breaks off, or says what cannot be."""

    LISTINGS_DIFFER = "listings-differ"
    """It says in two places what it holds, and not the same."""

    UNREAD = "unread"
    """Its content is packed in a way that is not undone here."""

    TOO_LARGE = "too-large"
    """It grows by more than `RATIO`, or all together is more than is looked at."""

    TOO_MANY = "too-many"
    """It has more members than are looked at."""

    TOO_DEEP = "too-deep"
    """It is an archive in more archives than are looked into."""

    TOO_SLOW = "too-slow"
    """There was no time for more."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file; where listings differ in what it is called, all its names are there."""

    names: tuple[str, ...]
    size: int | None
    """What the archive says; None where it says nothing."""

    octets: bytes | None
    """As far as they could be read; None if not at all."""

    faults: frozenset[Fault] = frozenset()


class BrokenError(Exception):
    """The archive breaks off, or says what cannot be."""


@dataclass
class Budget:
    """What may still be spent on one message: for all its archives together."""

    octets: int = 256 << 20
    """Bytes that are read or made."""

    members: int = 10_000
    blocks: int = 10_000
    """Files in texts: each costs no more than a line, and a message has room for millions."""

    until: float = math.inf
    """The moment of `time.monotonic` at which nothing more is begun."""

    late: bool = False
    """Whether anything was left for that."""

    def room(self, packed: int) -> int:
        """How large this many packed bytes may grow."""
        return max(0, min(self.octets, max(FREE, RATIO * packed)))

    def spend(self, octets: int) -> None:
        """This many bytes were read or made."""
        self.octets -= octets

    def end(self) -> Fault | None:
        """Take one member; why there may be no more."""
        self.members -= 1
        if self.members < 0:
            return Fault.TOO_MANY
        if self.octets <= 0:
            return Fault.TOO_LARGE
        self.late |= time.monotonic() > self.until
        return Fault.TOO_SLOW if self.late else None
