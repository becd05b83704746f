"""What the agent remembers of the messages that it has classified, so that training sees the same.

One file of SQLite that the workers of the agent write and the training daemon reads. It is a help
and no more: nothing waits for the disk, what is old or too much goes, the oldest first, and a file
that is damaged is begun anew. Training takes the message itself where nothing is remembered of it.

Failure: a StoreError, which delays no mail.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iems.serve.deadline import Deadline
from iems.store.sharedfile import Kind, SharedFile
from lmtp.bayes.score import Score, Verdict
from lmtp.bayes.sqlitestore import MODE
from lmtp.bayes.store import StoreError, name_of

FILE = "memory.sqlite"
"""Its name in the folder of the filter."""

MOST = 2000
"""Messages that are remembered of a user: of 30 days, some 65 a day."""

_PAGES = 262_144
"""Pages of 4 KiB: 1 GiB, which is some 300,000 messages."""

_TIDY = 31
"""Writes of a process between two looks for what is too much; half as many more may go. A prime, so
that each has a turn where some users always get the same."""

_EXPIRED = 200
"""So many old messages go at once, and writers come between."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    key BLOB NOT NULL,
    message_id BLOB NOT NULL,
    time REAL NOT NULL,
    log_odds REAL NOT NULL,
    probability REAL NOT NULL,
    verdict TEXT NOT NULL,
    junk INTEGER NOT NULL,
    salt BLOB NOT NULL,
    features BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS seen_key ON seen (user, key);
CREATE INDEX IF NOT EXISTS seen_message_id ON seen (user, message_id);
PRAGMA user_version = 1;
"""
_KIND = Kind(
    _SCHEMA,
    StoreError,
    ("PRAGMA synchronous = OFF", "PRAGMA secure_delete = ON"),
    mode=MODE,
)
_COLUMNS = "user, key, message_id, time, log_odds, probability, verdict, junk, salt, features"
_ADD = f"INSERT OR REPLACE INTO seen ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_READ = f"SELECT {_COLUMNS} FROM seen WHERE user = ? AND key = ?"  # noqa: S608 - constants
_TRIM = """
DELETE FROM seen WHERE user = ?1 AND serial <=
    (SELECT serial FROM seen WHERE user = ?1 ORDER BY serial DESC LIMIT 1 OFFSET ?2)
"""
_DROP = "DELETE FROM seen WHERE serial IN (SELECT serial FROM seen ORDER BY serial LIMIT ?)"
_EXPIRE = """
DELETE FROM seen WHERE time < ?1 AND serial IN (SELECT serial FROM seen ORDER BY serial LIMIT ?2)
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as it was classified for one user; `junk` is whether the agent filed it as that.

    `salt` is what the features were made with, `time` is in seconds of the epoch. `message_id` is
    the Message-ID, and of what was recalled a digest of it.
    """

    user: str
    key: bytes
    message_id: bytes
    time: float
    score: Score
    junk: bool
    salt: bytes = field(repr=False)
    features: bytes = field(repr=False)


class Memory:
    """The file at `path`, for all threads of one process; `note` is told each StoreError."""

    def __init__(self, path: Path, note: Callable[[str], None] = lambda _why: None) -> None:
        self.path = path
        self._file = SharedFile(path, _KIND, note)
        self._writes = 0

    def add(self, seen: Collection[Seen], deadline: Deadline) -> None:
        """Remember a message as it was classified for each of some users."""
        with self._file.transaction(deadline) as connection:
            for one in seen:
                connection.execute(_ADD, _row(one))
                self._writes += 1
                if self._writes % _TIDY == 0:
                    connection.execute(_TRIM, (name_of(one.user), MOST))
                    [pages] = connection.execute("PRAGMA page_count").fetchone()
                    [free] = connection.execute("PRAGMA freelist_count").fetchone()
                    if pages - free > _PAGES:
                        connection.execute(_DROP, (_TIDY * 3 // 2,))

    def recall(self, user: str, key: bytes, salt: bytes, deadline: Deadline) -> Seen | None:
        """The message with this key; without features where another salt has made them."""
        with self._file.opened(deadline) as connection:
            row = connection.execute(_READ, (name_of(user), key)).fetchone()
        return _seen(row, salt) if row else None

    def delivered(self, user: str, message_id: bytes, deadline: Deadline) -> bool:
        """Whether a message with this Message-ID was classified for this user."""
        if not message_id:
            return False
        with self._file.opened(deadline) as connection:
            found = connection.execute(
                "SELECT 1 FROM seen WHERE user = ? AND message_id = ?",
                (name_of(user), _digest(message_id)),
            ).fetchone()
        return found is not None

    def tally(self, user: str, deadline: Deadline) -> Counter[Verdict]:
        """How many of the messages that are remembered of him were judged as what."""
        with self._file.opened(deadline) as connection:
            rows = connection.execute(
                "SELECT verdict, count(*) FROM seen WHERE user = ? GROUP BY verdict",
                (name_of(user),),
            ).fetchall()
        return Counter({Verdict(word): count for word, count in rows if word in set(Verdict)})

    def forget(self, user: str, deadline: Deadline) -> bool:
        """Remove what is remembered of him; whether there was anything."""
        with self._file.opened(deadline) as connection:
            gone = connection.execute("DELETE FROM seen WHERE user = ?", (name_of(user),)).rowcount
            # Or it stands in the log until that begins anew.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone > 0

    def expire(self, before: float, deadline: Deadline) -> int:
        """Remove messages of before this time, the oldest first, until the deadline; how many."""
        removed = 0
        while not deadline.expired:
            with self._file.opened(deadline) as connection:
                batch = connection.execute(_EXPIRE, (before, _EXPIRED)).rowcount
            removed += batch
            if batch < _EXPIRED:
                break
        return removed

    def close(self) -> None:
        """Close the file; a use after that opens it again."""
        self._file.close()


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


def _row(one: Seen) -> Sequence[object]:
    return (
        name_of(one.user),
        one.key,
        _digest(one.message_id),
        one.time,
        one.score.log_odds,
        one.score.probability,
        one.score.verdict.value,
        one.junk,
        _digest(one.salt),
        one.features,
    )


def _seen(row: Sequence[Any], salt: bytes) -> Seen | None:
    user, key, message_id, when, log_odds, probability, verdict, junk, made_with, features = row
    with contextlib.suppress(ValueError, TypeError):
        score = Score(float(log_odds), float(probability), Verdict(verdict))
        good = made_with == _digest(salt)
        return Seen(user, key, message_id, when, score, bool(junk), salt, features if good else b"")
    return None
