"""States and journals in one file of SQLite, which agents read and the training daemon writes.

One row a user, and one an entry of his journal. What was saved is on disk. What is removed is
overwritten. Processes of several users share the file, so it is made with the mode 0660 in a folder
that gives it its group.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from iems.serve.deadline import Deadline
from iems.store.sharedfile import Kind, SharedFile
from lmtp.bayes.score import Label
from lmtp.bayes.store import (
    MAX_ASIDE,
    DamagedError,
    Entry,
    Kept,
    Limits,
    StoreError,
    checked,
    name_of,
    next_number,
    pack,
    unpack,
)

FILE = "bayes.sqlite"
"""Its name in the folder of the filter."""

MODE = 0o660

_EXPIRED = 200
"""So many old entries are removed at once, and writers come between."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
    user TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    time REAL NOT NULL,
    classifier TEXT NOT NULL,
    ham INTEGER NOT NULL,
    spam INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    salt BLOB NOT NULL,
    state BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS journal (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    key BLOB NOT NULL,
    label TEXT NOT NULL,
    time REAL NOT NULL,
    source TEXT NOT NULL,
    score REAL,
    sum INTEGER NOT NULL,
    size INTEGER NOT NULL,
    packed BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS journal_key ON journal (user, key);
CREATE INDEX IF NOT EXISTS journal_user ON journal (user, serial);
CREATE INDEX IF NOT EXISTS journal_time ON journal (time);
CREATE TABLE IF NOT EXISTS aside (
    user TEXT PRIMARY KEY,
    time REAL NOT NULL,
    why TEXT NOT NULL,
    state BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS salt (one INTEGER PRIMARY KEY CHECK (one = 1), salt BLOB NOT NULL);
INSERT OR IGNORE INTO salt VALUES (1, randomblob(16));
PRAGMA user_version = 1;
"""

_KIND = Kind(
    _SCHEMA,
    StoreError,
    ("PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON", "PRAGMA trusted_schema = OFF"),
    mode=MODE,
    aside=True,
)
_USER = "number, classifier, ham, spam, time, sum, salt, state"
_ENTRY = "key, label, time, source, score, sum, size, packed"
_LOAD = f"SELECT {_USER} FROM user WHERE user = ?"  # noqa: S608 - constants
_SAVE = f"INSERT OR REPLACE INTO user (user, {_USER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_READ = f"SELECT {_ENTRY} FROM journal WHERE user = ?"  # noqa: S608 - constants
_ADD = f"INSERT OR REPLACE INTO journal (user, {_ENTRY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_TRIM = """
DELETE FROM journal WHERE user = ?1 AND serial <=
    (SELECT serial FROM journal WHERE user = ?1 ORDER BY serial DESC LIMIT 1 OFFSET ?2)
"""
_ASIDE = """
INSERT OR REPLACE INTO aside (user, time, why, state)
SELECT user, ?, ?, state FROM user WHERE user = ?
"""
_ASIDE_TRIM = """
DELETE FROM aside WHERE user NOT IN (SELECT user FROM aside ORDER BY time DESC LIMIT ?)
"""
_EXPIRE = """
DELETE FROM journal WHERE serial IN (SELECT serial FROM journal WHERE time < ? LIMIT ?)
"""
_TABLES = ("user", "journal", "aside")


class SqliteStore:
    """The file at `path`; `note` is told the text of each StoreError that is its fault."""

    def __init__(
        self,
        path: Path,
        limits: Limits | None = None,
        note: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self.path = path
        self._file = SharedFile(path, _KIND, note)
        self._limits = limits or Limits()

    def load(self, user: str, deadline: Deadline) -> Kept:
        """What is kept of him; DamagedError."""
        with self._file.opened(deadline) as connection:
            row = connection.execute(_LOAD, (name_of(user),)).fetchone()
            if row is not None:
                return _kept(user, row)
            [salt] = connection.execute("SELECT salt FROM salt").fetchone()
        return Kept(bytes(salt))

    def entry(self, user: str, key: bytes, deadline: Deadline) -> Entry | None:
        """What he trained of the message with this key; nothing where its entry is damaged."""
        with self._file.opened(deadline) as connection:
            row = connection.execute(f"{_READ} AND key = ?", (name_of(user), key)).fetchone()
        return _entry(row) if row else None

    def journal(self, user: str, deadline: Deadline) -> list[Entry]:
        """His entries, the oldest training first, without those that are damaged."""
        with self._file.opened(deadline) as connection:
            rows = connection.execute(f"{_READ} ORDER BY serial", (name_of(user),)).fetchall()
        return [entry for entry in map(_entry, rows) if entry is not None]

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
        checked(kept, add)
        name = name_of(user)
        with self._file.transaction(deadline) as connection:
            if _number(connection, name) != kept.number:
                return False
            _write(connection, name, kept)
            if drop is not None:
                connection.execute("DELETE FROM journal WHERE user = ? AND key = ?", (name, drop))
            if add is not None:
                connection.execute(_ADD, (name, *_row(add)))
                connection.execute(_TRIM, (name, self._limits.entries))
        return True

    def replace(self, user: str, kept: Kept, entries: Sequence[Entry], deadline: Deadline) -> bool:
        """Put this in the place of all that is kept of him; as `save`."""
        name = name_of(user)
        for entry in entries:
            checked(kept, entry)
        with self._file.transaction(deadline) as connection:
            if _number(connection, name) != kept.number:
                return False
            _write(connection, name, kept)
            connection.execute("DELETE FROM journal WHERE user = ?", (name,))
            for entry in entries[-self._limits.entries :]:
                connection.execute(_ADD, (name, *_row(entry)))
        return True

    def set_aside(self, user: str, number: int, why: str, deadline: Deadline) -> bool:
        """Take his state of this version away, and keep it where nobody reads it; whether it was
        there. The journal stays."""
        name = name_of(user)
        with self._file.transaction(deadline) as connection:
            row = connection.execute(_LOAD, (name,)).fetchone()
            with contextlib.suppress(DamagedError):
                if row is None or _kept(user, row).number != number:
                    return False
            connection.execute(_ASIDE, (time.time(), why, name))
            connection.execute(_ASIDE_TRIM, (MAX_ASIDE,))
            connection.execute("DELETE FROM user WHERE user = ?", (name,))
        return True

    def forget(self, user: str, deadline: Deadline) -> bool:
        """Remove all that is kept of him, damaged or not; whether there was anything."""
        name = name_of(user)
        with self._file.transaction(deadline) as connection:
            gone = sum(
                connection.execute(f"DELETE FROM {table} WHERE user = ?", (name,)).rowcount  # noqa: S608 - constants
                for table in _TABLES
            )
        with self._file.opened(deadline) as connection:
            # Or it stands in the log until that begins anew.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone > 0

    def users(self, deadline: Deadline) -> list[str]:
        """All of whom a state or a journal is kept, in their order."""
        with self._file.opened(deadline) as connection:
            rows = connection.execute(
                "SELECT user FROM user UNION SELECT user FROM journal ORDER BY 1"
            ).fetchall()
        return [name for (name,) in rows]

    def expire(self, now: float, deadline: Deadline) -> int:
        """Remove entries of journals that are too old, until the deadline; how many."""
        removed, since = 0, self._limits.since(now)
        self._file.forget_aside(since)
        while not deadline.expired:
            with self._file.transaction(deadline) as connection:
                connection.execute("DELETE FROM aside WHERE time < ?", (since,))
                batch = connection.execute(_EXPIRE, (since, _EXPIRED)).rowcount
            removed += batch
            if batch < _EXPIRED:
                break
        return removed

    def close(self) -> None:
        """Close the file; a use after that opens it again."""
        self._file.close()


def _number(connection: sqlite3.Connection, name: str) -> object:
    row = connection.execute("SELECT number FROM user WHERE user = ?", (name,)).fetchone()
    return row[0] if row else 0


def _write(connection: sqlite3.Connection, name: str, kept: Kept) -> None:
    now = replace(kept, number=next_number(kept.number))
    row = (now.number, now.classifier, now.ham, now.spam, now.time, now.sum, now.salt, now.state)
    connection.execute(_SAVE, (name, *row))


def _kept(user: str, row: Sequence[Any]) -> Kept:
    number, classifier, ham, spam, when, total, salt, state = row
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        kept = Kept(salt, number, classifier, state, ham, spam, when)
        if kept.sum == total:
            return kept
    raise DamagedError(user, number)


def _row(entry: Entry) -> Sequence[object]:
    return (
        entry.key,
        entry.label.value,
        entry.time,
        entry.source,
        entry.score,
        entry.sum,
        len(entry.features),
        pack(entry),
    )


def _entry(row: Sequence[Any]) -> Entry | None:
    key, label, when, source, score, total, size, packed = row
    with contextlib.suppress(TypeError, ValueError):
        entry = Entry(key, Label(label), when, source, score, *unpack(size, packed))
        if entry.sum == total:
            return entry
    return None
