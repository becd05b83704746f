"""Of which cause each was told last, so that nobody is told twice of the same.

One SQLite file. `claim` says whether it is another cause and writes it down, in one statement, so
that of two processes one tells. A file that cannot be written is a `CausesError`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from iems.store.rows import Rows

_BUSY = 5.0
"""Seconds that one process waits for another's transaction."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS causes (whom TEXT PRIMARY KEY, cause TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_CLAIM = """
INSERT INTO causes (whom, cause) VALUES (:whom, :cause)
ON CONFLICT (whom) DO UPDATE SET cause = :cause WHERE causes.cause != :cause
"""


class CausesError(Exception):
    """The file cannot be read or written."""


class Causes:
    """The file, open; for one thread."""

    def __init__(self, path: Path) -> None:
        self._rows = Rows(path, _SCHEMA, _BUSY, CausesError)

    def claim(self, whom: str, cause: str) -> bool:
        """Whether he was told of another cause last, or of none."""
        digest = hashlib.sha256(cause.encode()).hexdigest()
        return self._rows.do(_CLAIM, {"whom": whom, "cause": digest}).rowcount == 1

    def forget(self, whom: str) -> None:
        """There is no cause any more, or he was not told."""
        self._rows.do("DELETE FROM causes WHERE whom = :whom", {"whom": whom})

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
