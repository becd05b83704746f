"""Counters in one SQLite file, which all workers of a daemon share.

It is opened at the first count of a process and so after the fork; it outlives a reload and need
not outlive the machine, so that no count waits for the disk. Counts that are over go as others are
written, and the file has a bound: beyond it those go first that would be over first. That an
account is held is synced at once, and the file whenever its write-ahead log begins anew, or a
machine that loses its power could damage both.

Failure: a file that is locked, full or unreadable is a `CountersError`; one that is damaged is
removed too, and the next count begins a new one in which nobody is held, as it does where the file
is missing. A clock that is set forgets what was counted and keeps nobody waiting.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iems.serve.deadline import Deadline
from iems.store.counters import MOST, STEPS, Claim, CountersError, Held, as_bytes, as_text
from iems.store.sharedfile import Kind, SharedFile

_SLOTS = struct.Struct(f"<{STEPS + 1}Q")
_TIDY = 64
"""Writes between two looks for counts that are over; as many and half as many more may go."""

_PAGES = 16_384
"""Pages of 4 KiB: 64 MiB, which is 400,000 networks (measured: 156 bytes each)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (
    key BLOB NOT NULL,
    window REAL NOT NULL,
    step INTEGER NOT NULL,
    slots BLOB NOT NULL,
    ends REAL NOT NULL,
    PRIMARY KEY (key, window)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counter_ends ON counter (ends);
CREATE TABLE IF NOT EXISTS held (
    user TEXT PRIMARY KEY,
    since REAL NOT NULL,
    why TEXT NOT NULL,
    told INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_READ = "SELECT step, slots FROM counter WHERE key = ? AND window = ?"
_WRITE = "INSERT OR REPLACE INTO counter (key, window, step, slots, ends) VALUES (?, ?, ?, ?, ?)"
_DROP = """
DELETE FROM counter WHERE (key, window) IN
    (SELECT key, window FROM counter WHERE ends <= ? ORDER BY ends LIMIT ?)
"""
_KIND = Kind(_SCHEMA, CountersError, ("PRAGMA synchronous = NORMAL",))


@dataclass(frozen=True, slots=True)
class _Window:
    """What was counted, by step from the oldest on; the last one is `step`, which lasts now."""

    length: float
    step: int
    slots: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.slots)

    def plus(self, amount: int) -> _Window:
        last = max(0, min(self.slots[-1] + amount, MOST))
        return _Window(self.length, self.step, (*self.slots[:-1], last))

    def wait(self, room: int, now: float) -> float:
        """Seconds until there is no more than `room` of it; a whole window where that is never."""
        left = self.total
        for age, amount in enumerate(self.slots):
            left -= amount
            if left <= room:
                return max(0.0, (self.step + age + 1) * self.length / STEPS - now)
        return self.length


class CounterFile:
    """The file; for all threads of one process.

    `clock` gives seconds of the epoch; `note` is told the text of each CountersError.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        note: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._file = SharedFile(path, _KIND, note)
        self._clock = clock
        self._writes = 0

    def add(self, key: str, amount: int, window: float, deadline: Deadline) -> int:
        """Count so much of it; how much that makes within the `window` of seconds that ends now."""
        with self._transaction(deadline) as (connection, now):
            one = _read(connection, key, window, now).plus(amount)
            self._write(connection, key, one, now)
        return one.total

    def take(self, claims: Sequence[Claim], deadline: Deadline) -> tuple[float, ...]:
        """Count all of this, or nothing where one of the claims would be over its limit.

        Each claim's seconds until it can be made, 0 where it could be now. No key may come twice
        with one window.
        """
        with self._transaction(deadline) as (connection, now):
            windows = [_read(connection, one.key, one.window, now) for one in claims]
            pairs = list(zip(claims, windows, strict=True))
            if all(window.total + one.amount <= one.limit for one, window in pairs):
                for one, window in pairs:
                    self._write(connection, one.key, window.plus(one.amount), now)
                return (0.0,) * len(pairs)
        return tuple(
            0.0
            if window.total + one.amount <= one.limit
            else window.wait(one.limit - one.amount, now)
            for one, window in pairs
        )

    def peek(self, key: str, window: float, deadline: Deadline) -> int:
        """How much of it there is within the `window` of seconds that ends now."""
        with self._file.opened(deadline) as connection:
            return _read(connection, key, window, self._clock()).total

    def hold(self, user: str, why: str, deadline: Deadline, *, told: bool = False) -> bool:
        """Hold an account from now on; whether it was not held before."""
        with self._file.opened(deadline) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            row = (as_text(user), self._clock(), as_text(why), told)
            new = connection.execute(
                "INSERT OR IGNORE INTO held (user, since, why, told) VALUES (?, ?, ?, ?)", row
            ).rowcount
            connection.execute("PRAGMA synchronous = NORMAL")
        return new == 1

    def is_held(self, user: str, deadline: Deadline) -> bool:
        """Whether this account is held."""
        with self._file.opened(deadline) as connection:
            found = connection.execute(
                "SELECT 1 FROM held WHERE user = ?", (as_text(user),)
            ).fetchone()
        return found is not None

    def held(self, deadline: Deadline) -> list[Held]:
        """All accounts that are held, the first one first."""
        with self._file.opened(deadline) as connection:
            rows = connection.execute(
                "SELECT user, since, why, told FROM held ORDER BY since, user"
            ).fetchall()
        return [Held(user, since, why, bool(told)) for user, since, why, told in rows]

    def tell(self, one: Held, deadline: Deadline) -> None:
        """Postmaster was told of this hold."""
        with self._file.opened(deadline) as connection:
            row = (one.user, one.since)
            connection.execute("UPDATE held SET told = 1 WHERE user = ? AND since = ?", row)

    def release(self, user: str, keys: Sequence[str], deadline: Deadline) -> bool:
        """Hold it no longer, and forget what was counted under these keys; whether it was held."""
        with self._transaction(deadline) as (connection, _now):
            for key in keys:
                connection.execute("DELETE FROM counter WHERE key = ?", (as_bytes(key),))
            held = connection.execute("DELETE FROM held WHERE user = ?", (as_text(user),)).rowcount
        return held == 1

    def close(self) -> None:
        """Close the file; a count after that opens it again."""
        self._file.close()

    @contextlib.contextmanager
    def _transaction(self, deadline: Deadline) -> Iterator[tuple[sqlite3.Connection, float]]:
        with self._file.transaction(deadline) as connection:
            yield connection, self._clock()

    def _write(self, connection: sqlite3.Connection, key: str, one: _Window, now: float) -> None:
        ends = (one.step + STEPS + 1) * one.length / STEPS
        row = (as_bytes(key), one.length, one.step, _SLOTS.pack(*one.slots), ends)
        connection.execute(_WRITE, row)
        self._writes += 1
        if self._writes % _TIDY == 0:
            connection.execute(_DROP, (now, _TIDY * 3 // 2))
            [pages] = connection.execute("PRAGMA page_count").fetchone()
            [free] = connection.execute("PRAGMA freelist_count").fetchone()
            if pages - free > _PAGES:
                connection.execute(_DROP, (math.inf, _TIDY * 3 // 2))


def _read(connection: sqlite3.Connection, key: str, window: float, now: float) -> _Window:
    """What is in the file, moved on to this moment; nothing of a step that is yet to come."""
    step = math.floor(now * STEPS / window)
    empty = (0,) * (STEPS + 1)
    row = connection.execute(_READ, (as_bytes(key), window)).fetchone()
    if row is None or len(row[1]) != _SLOTS.size or not 0 <= step - row[0] <= STEPS:
        return _Window(window, step, empty)
    passed = step - row[0]
    return _Window(window, step, (_SLOTS.unpack(row[1]) + empty)[passed : passed + STEPS + 1])
