"""What is kept of each user: the state of his classifier, and the journal of what he trained.

The state and the entry of the journal that belongs to it are written together or not at all, and
only over the version that the writer has read, so that no training is lost where two train at once.
States, features and changes are bytes that nobody reads here. Each row has a sum by which damage is
noticed; the rest of a state has one that is looked at where it is decoded. All is kept in a file
(`lmtp.bayes.sqlitestore`) or on a server for several machines (`lmtp.bayes.redisstore`).

Failure: what cannot be read or written in time is a `StoreError`, a row that is not as it was
written a `DamagedError`. Nothing else is raised, and nothing is changed then.
"""

from __future__ import annotations

import math
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from iems.serve.deadline import Deadline
from lmtp.bayes.score import Label

SALT = 16
"""Bytes."""

MAX_ENTRY = 64 << 10
"""Bytes of features and change of one entry; those of most messages have 6 KiB, and at most 20."""

MAX_ROW = 512 << 10
"""Bytes of a state, whatever the classifier."""

_HEAD = 256
"""Bytes of a state that are looked at here: to sum up all would be half the time of a read."""

MAX_ASIDE = 20
"""Damaged states that are kept for who wants to look at them, one a user."""


class StoreError(Exception):
    """It cannot be read or written now."""


class DamagedError(StoreError):
    """The state that is kept of this user, in this version, is not what was written."""

    def __init__(self, user: str, number: int) -> None:
        super().__init__(f"what is kept of {user} is damaged")
        self.number = number


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a user; `number` is 0 where that is nothing.

    `number` changes with each save. `salt` is what his messages are hashed with: that of the store,
    unless he came from another one. `classifier` is whose `state` it is; `time` is when it was
    written, in seconds of the epoch.
    """

    salt: bytes
    number: int = 0
    classifier: str = ""
    state: bytes = b""
    ham: int = 0
    spam: int = 0
    time: float = 0.0

    @property
    def sum(self) -> int:
        """Of all that a damaged disk could change; a state has one of its own behind its head."""
        told = f"{self.number} {self.classifier} {self.ham} {self.spam} {self.time!r} "
        told += f"{len(self.state)} "
        return zlib.crc32(told.encode() + self.salt + self.state[:_HEAD])


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that was trained: as what, and how that is taken back.

    `source` is a word for the way in which the user said it; `score` are the log-odds of the
    message before it was first trained, None where the filter said nothing.
    """

    key: bytes
    label: Label
    time: float
    source: str
    score: float | None
    features: bytes = field(repr=False)
    change: bytes = field(default=b"", repr=False)

    @property
    def sum(self) -> int:
        """As that of what is kept."""
        told = (
            f"{self.label.value} {self.time!r} {self.source} {self.score!r} {len(self.features)} "
        )
        start = zlib.crc32(told.encode() + self.key)
        return zlib.crc32(self.change, zlib.crc32(self.features, start))


def pack(entry: Entry) -> bytes:
    """Features and change together: one mostly repeats the other, and this halves them."""
    return zlib.compress(entry.features + entry.change, 1)


def unpack(size: int, packed: bytes) -> tuple[bytes, bytes]:
    """Features, of so many bytes, and change; ValueError where that is none."""
    try:
        both = zlib.decompressobj().decompress(packed, MAX_ENTRY)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    return both[:size], both[size:]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a journal is kept: entries of a user, and days of an entry (0: for ever)"""

    entries: int = 1000
    days: int = 30

    def since(self, now: float) -> float:
        """The time of the oldest entry that is kept."""
        return now - self.days * 86400.0 if self.days else -math.inf


class Store(Protocol):
    """For all threads of one process. A user is an address, of which case says nothing."""

    def load(self, user: str, deadline: Deadline) -> Kept:
        """What is kept of him; DamagedError."""
        ...

    def entry(self, user: str, key: bytes, deadline: Deadline) -> Entry | None:
        """What he trained of the message with this key; nothing where its entry is damaged."""
        ...

    def journal(self, user: str, deadline: Deadline) -> list[Entry]:
        """His entries, the oldest training first, without those that are damaged."""
        ...

    def save(
        self,
        user: str,
        kept: Kept,
        deadline: Deadline,
        *,
        add: Entry | None = None,
        drop: bytes | None = None,
    ) -> bool:
        """Write this over the version `kept.number`; False where that is not the one that is there.

        With it the entry with the key `drop` goes out of the journal and `add` comes into it, in
        the place of any of the same key, and what is beyond the limits goes.
        """
        ...

    def replace(self, user: str, kept: Kept, entries: Sequence[Entry], deadline: Deadline) -> bool:
        """Put this in the place of all that is kept of him; as `save`."""
        ...

    def set_aside(self, user: str, number: int, why: str, deadline: Deadline) -> bool:
        """Take his state of this version away, and keep it where nobody reads it; whether it was
        there. The journal stays."""
        ...

    def forget(self, user: str, deadline: Deadline) -> bool:
        """Remove all that is kept of him, damaged or not; whether there was anything."""
        ...

    def users(self, deadline: Deadline) -> list[str]:
        """All of whom a state or a journal is kept, in their order."""
        ...

    def expire(self, now: float, deadline: Deadline) -> int:
        """Remove entries of journals that are too old, until the deadline; how many."""
        ...

    def close(self) -> None:
        """Close what is open; a use after that opens it again."""
        ...


def name_of(user: str) -> str:
    """The name that a user has in a store."""
    return user.encode("utf-8", "replace").decode().lower()


def next_number(number: int) -> int:
    """The number of the version after this one; the first is by chance, so that none comes again
    of a user who was forgotten meanwhile."""
    return number + 1 if number else secrets.randbits(48) + 1


def checked(kept: Kept, add: Entry | None = None) -> None:
    """ValueError for what no classifier should make."""
    if len(kept.state) > MAX_ROW or len(kept.salt) != SALT:
        raise ValueError(f"a state of {len(kept.state)} bytes, a salt of {len(kept.salt)}")
    if add is not None and not add.source.isprintable():
        raise ValueError(f"a source {add.source!r}")
    if add is not None and len(add.features) + len(add.change) > MAX_ENTRY:
        raise ValueError(f"an entry of {len(add.features) + len(add.change)} bytes")
