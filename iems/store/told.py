"""Who was told what: so that nobody gets the same notice twice, or two within a day.

One SQLite file. `claim` says whether a notice is due and writes down that it is sent, in one
statement, so that not even two processes send it both; `release` takes that back where it was not
sent after all. A process that dies between the two has told nothing: of a notice that is repeated
in stages the next stage comes. A file that cannot be written is a `ToldError`.
"""

from __future__ import annotations

from pathlib import Path

from iems.store.rows import Rows

DAY = 86400.0
_BUSY = 5.0
"""Seconds that one process waits for another's transaction."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS told (
    whom TEXT PRIMARY KEY,
    ends INTEGER NOT NULL,
    days INTEGER NOT NULL,
    time REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS told_ends ON told (ends);
PRAGMA user_version = 1;
"""
_CLAIM = """
INSERT INTO told (whom, ends, days, time) VALUES (:whom, :ends, :days, :time)
ON CONFLICT (whom) DO UPDATE SET ends = :ends, days = :days, time = :time
WHERE told.time <= :time - :day AND (told.ends != :ends OR told.days > :days)
"""


class ToldError(Exception):
    """The file cannot be read or written."""


class Told:
    """The file, open; for one thread."""

    def __init__(self, path: Path) -> None:
        self._rows = Rows(path, _SCHEMA, _BUSY, ToldError)

    def claim(self, whom: str, ends: int, days: int, now: float) -> bool:
        """Whether he shall be told now that something ends, in at most so many `days`.

        So it is if he was told nothing within a day, and of this end nothing as late as this.
        """
        values = {"whom": whom, "ends": ends, "days": days, "time": now, "day": DAY}
        return self._rows.do(_CLAIM, values).rowcount == 1

    def release(self, whom: str) -> None:
        """He was not told."""
        self._rows.do("DELETE FROM told WHERE whom = :whom", {"whom": whom})

    def forget(self, before: float) -> None:
        """Drop what is about ends before this time: they are over."""
        self._rows.do("DELETE FROM told WHERE ends < :before", {"before": before})

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
