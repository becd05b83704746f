"""Who is still to be told of which viruses: one SQLite file, written by workers, read by a job.

Of one person some events are kept, and of others how many there were, so that a wave of viruses
fills no disk. What a person is to be told is taken out in one transaction that writes down when;
whoever could not tell it gives it back. A process that dies between the two has told nothing, and
nobody is told twice. A file that cannot be written is an `OwedError`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple, dataclass
from pathlib import Path

from iems.store.rows import Rows

FILE = "viruses.sqlite"
"""Its name in the milter's state."""

MOST = 50
"""Events that are kept of one person; of more of them only the number."""

_LONGEST = 500
"""Characters of a text; the subject of a virus may have 100,000."""

_BUSY = 2.0
"""Seconds that one process waits for another's transaction; a client waits for the worker's."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    person TEXT NOT NULL,
    time REAL NOT NULL,
    role TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,
    subject TEXT NOT NULL,
    virus TEXT NOT NULL,
    done TEXT NOT NULL,
    reference TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event_person ON event (person, time);
CREATE TABLE IF NOT EXISTS person (
    person TEXT PRIMARY KEY,
    told REAL,
    more INTEGER NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MORE = """
INSERT INTO person VALUES (?, NULL, ?)
ON CONFLICT (person) DO UPDATE SET more = more + excluded.more
"""
_TOLD = """
INSERT INTO person VALUES (?, ?, 0)
ON CONFLICT (person) DO UPDATE SET told = excluded.told, more = 0
"""
_DUE = """
SELECT event.person FROM event LEFT JOIN person USING (person)
WHERE told IS NULL OR told NOT BETWEEN ? AND ?
GROUP BY event.person ORDER BY min(event.time) LIMIT ?
"""


class OwedError(Exception):
    """The file cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Event:
    """A virus in a message, as one person is told of it.

    `role` is what he has to do with it, `done` what was done about it, each a word; `recipients`
    are those whom he may know of.
    """

    time: float
    role: str
    sender: str
    recipients: str
    subject: str
    virus: str
    done: str
    reference: str


class Owed:
    """The file, open; for one thread."""

    def __init__(self, path: Path) -> None:
        self._rows = Rows(path, _SCHEMA, _BUSY, OwedError)

    def add(self, events: Collection[tuple[str, Event]]) -> None:
        """These persons are to be told of these."""

        def add() -> None:
            for person, event in events:
                self._add(person, event)

        self._rows.together(add)

    def _add(self, person: str, event: Event) -> None:
        [(count,)] = self._rows.all("SELECT count(*) FROM event WHERE person = ?", person)
        if count < MOST:
            self._rows.all(_EVENT, person, *map(_kept, astuple(event)))
        else:
            self._rows.all(_MORE, person, 1)

    def due(self, since: float, now: float, most: int) -> list[str]:
        """Who is to be told of something and was told nothing since then; who waits longest first.

        Who was told in the future was so by a clock that has been set back.
        """
        return [person for (person,) in self._rows.all(_DUE, since, now, most)]

    def told(self, since: float, now: float) -> int:
        """How many persons were told something since then."""
        [(count,)] = self._rows.all(
            "SELECT count(*) FROM person WHERE told BETWEEN ? AND ?", since, now
        )
        return int(count)

    def take(self, person: str, now: float) -> tuple[list[Event], int]:
        """What he is told now, the oldest first, and how many more events there were."""

        def take() -> tuple[list[Event], int]:
            rows = self._rows.all(
                "SELECT * FROM event WHERE person = ? ORDER BY time, rowid", person
            )
            more = self._rows.all("SELECT more FROM person WHERE person = ?", person)
            self._rows.all("DELETE FROM event WHERE person = ?", person)
            self._rows.all(_TOLD, person, now)
            return [Event(*row[1:]) for row in rows], more[0][0] if more else 0

        return self._rows.together(take)

    def give_back(self, person: str, events: Collection[Event], more: int) -> None:
        """He was not told of them."""

        def give_back() -> None:
            self._rows.all("UPDATE person SET told = NULL WHERE person = ?", person)
            for event in events:
                self._add(person, event)
            if more:
                self._rows.all(_MORE, person, more)

        self._rows.together(give_back)

    def forget(self, events: float, told: float) -> None:
        """Drop events of before a time, and before another one who was told."""

        def forget() -> None:
            self._rows.all("DELETE FROM event WHERE time < ?", events)
            self._rows.all(
                "DELETE FROM person WHERE coalesce(told, 0) < ?"
                " AND person NOT IN (SELECT person FROM event)",
                told,
            )

        self._rows.together(forget)

    def close(self) -> None:
        """Close the file."""
        self._rows.close()


def _kept(value: object) -> object:
    """A text of bounded length that SQLite takes: bytes that are no UTF-8 came in as surrogates."""
    if not isinstance(value, str):
        return value
    return value[:_LONGEST].encode("utf-8", "replace").decode()
