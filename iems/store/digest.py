"""What users are still to be told of by their daily digest, and who wants none: one SQLite file.

Events come in from the records of both daemons, in slices of time: a slice and the time up to which
it reaches are written in one transaction, so each event comes in once, however often a run ends in
its middle. They go when the digest that tells of them was sent. The id of a digest is kept before
it is sent: whoever finds one looks whether it went, and sends that one again if not.

A file that cannot be written is a `DigestError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from iems.store.rows import Rows

FILE = "digest.sqlite"
"""Its name in the agent's state."""

REFUSED, JUNK, QUARANTINE = "refused", "junk", "quarantine"
KINDS = (REFUSED, JUNK, QUARANTINE)

_BUSY = 5.0
"""Seconds that one process waits for another's transaction."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    user TEXT NOT NULL,
    kind TEXT NOT NULL,
    time REAL NOT NULL,
    sender TEXT NOT NULL,
    why TEXT NOT NULL,
    id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event_user ON event (user, kind, time);
CREATE TABLE IF NOT EXISTS reached (what TEXT PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sending (
    user TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    before REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusing (user TEXT PRIMARY KEY) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


class DigestError(Exception):
    """The file cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that did not reach the INBOX of a user; `id` is that of a message in quarantine."""

    user: str
    kind: str
    time: float
    sender: str
    why: str
    id: str = ""


class Digests:
    """The file, open; for one thread."""

    def __init__(self, path: Path) -> None:
        self._rows = Rows(path, _SCHEMA, _BUSY, DigestError)

    def reached(self, what: str) -> float | None:
        """Up to when this is done; None where it never was."""
        rows = self._rows.all("SELECT time FROM reached WHERE what = ?", what)
        return rows[0][0] if rows else None

    def reach(self, what: str, time: float, events: Iterable[Event] = ()) -> None:
        """It is done up to this time, and these events came of it."""
        rows = [(one.user, one.kind, one.time, one.sender, one.why, one.id) for one in events]

        def write() -> None:
            for row in rows:
                self._rows.do("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", row)
            self._rows.do("INSERT OR REPLACE INTO reached VALUES (?, ?)", (what, time))

        self._rows.together(write)

    def users(self, before: float, after: str, most: int) -> list[str]:
        """Of whom there are events of before this time: so many, in order, behind `after`."""
        found = self._rows.all(
            "SELECT DISTINCT user FROM event WHERE user > ? AND time < ? ORDER BY user LIMIT ?",
            *(after, before, most),
        )
        return [user for (user,) in found]

    def events(self, user: str, kind: str, before: float, most: int) -> tuple[list[Event], int]:
        """The latest of them, the oldest of these first, and how many there are."""
        rows = self._rows.all(
            "SELECT user, kind, time, sender, why, id FROM event"
            " WHERE user = ? AND kind = ? AND time < ? ORDER BY time DESC LIMIT ?",
            *(user, kind, before, most),
        )
        [(count,)] = self._rows.all(
            "SELECT count(*) FROM event WHERE user = ? AND kind = ? AND time < ?",
            *(user, kind, before),
        )
        return [Event(*row) for row in reversed(rows)], count

    def begun(self, user: str) -> tuple[str, float] | None:
        """The digest of which nobody knows whether it went: its id, and up to when it tells."""
        rows = self._rows.all("SELECT digest, before FROM sending WHERE user = ?", user)
        return rows[0] if rows else None

    def begin(self, user: str, digest: str, before: float) -> None:
        """The digest with this id goes to him now, and tells of what was before this time."""
        self._rows.all("INSERT OR REPLACE INTO sending VALUES (?, ?, ?)", user, digest, before)

    def done(self, user: str, before: float) -> None:
        """He was told of what was before this time, or is not to be told."""

        def write() -> None:
            values = (user, before)
            self._rows.do("DELETE FROM event WHERE user = ? AND time < ?", values)
            self._rows.do("DELETE FROM sending WHERE user = ?", (user,))

        self._rows.together(write)

    def forget(self, before: float) -> None:
        """Drop events of before this time."""
        self._rows.all("DELETE FROM event WHERE time < ?", before)

    def refuse(self, user: str, *, refuses: bool = True) -> bool:
        """He wants no digest any more, or one again; whether that is new."""
        verb = (
            "INSERT OR IGNORE INTO refusing VALUES (?)"
            if refuses
            else "DELETE FROM refusing WHERE user = ?"
        )
        return self._rows.do(verb, (user,)).rowcount == 1

    def refusing(self) -> list[str]:
        """Who wants none."""
        return [user for (user,) in self._rows.all("SELECT user FROM refusing ORDER BY user")]

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
