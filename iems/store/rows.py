"""A small file of SQLite for one thread, which other processes may have open as well.

What is written is on disk when it was done. Whatever goes wrong is the error of whose file it is,
with its path.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from iems.serve.deadline import Deadline
from iems.store.wal import write_ahead

T = TypeVar("T")


class Rows:
    """The file, open; `busy` are the seconds that it waits for another's transaction."""

    def __init__(self, path: Path, schema: str, busy: float, error: type[Exception]) -> None:
        self._path = path
        self._error = error
        try:
            self._connection = sqlite3.connect(path, timeout=busy, isolation_level=None)
            write_ahead(self._connection, Deadline.after(busy))
            self._connection.execute("PRAGMA synchronous = FULL")
            # The schema sets the version; it would be a write each time.
            if self._connection.execute("PRAGMA user_version").fetchone() == (0,):
                self._connection.executescript(schema)
        except sqlite3.Error as fault:
            raise self._named(fault) from None

    def do(
        self, statement: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> sqlite3.Cursor:
        """One statement; outside of `together` a transaction of its own."""
        try:
            return self._connection.execute(statement, values)
        except sqlite3.Error as fault:
            raise self._named(fault) from None

    def all(self, statement: str, *values: object) -> list[Any]:
        """What it finds."""
        try:
            return self.do(statement, values).fetchall()
        except sqlite3.Error as fault:
            raise self._named(fault) from None

    def together(self, work: Callable[[], T]) -> T:
        """All that the work does, or nothing of it."""
        self.do("BEGIN IMMEDIATE")
        try:
            done = work()
            self.do("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        return done

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _named(self, fault: sqlite3.Error) -> Exception:
        return self._error(f"{self._path}: {fault}")
