"""A file of SQLite that several processes write, and all threads of each: opened when it is needed.

It is opened at the first use of a process and so after the fork. Each use looks whether it is still
the file of that name. Whatever fails closes it and is the error of whose file it is, with its path,
told to `note` too; all ends by the deadline. A file that is damaged as a whole is set aside, or
removed where it is of little worth, and the next use begins a new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from iems.serve.deadline import Deadline
from iems.store.wal import write_ahead

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PARTS = ("", "-wal", "-shm")

ASIDE = ".damaged"
"""What the name of a file ends in that was set aside; the last one is kept."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is in such a file, and how much it is worth.

    `mode` is that of a new file, None for what the umask leaves. `opening` are statements for each
    connection, `schema` those for a new file: they set its user_version to `version`.
    """

    schema: str
    error: type[Exception]
    opening: tuple[str, ...]
    mode: int | None = None
    aside: bool = False
    version: int = 1


class SharedFile:
    """The file; for all threads of one process."""

    def __init__(self, path: Path, kind: Kind, note: Callable[[str], None]) -> None:
        self.path = path
        self._kind = kind
        self._note = note
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file = 0

    @contextlib.contextmanager
    def opened(self, deadline: Deadline) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; outside of a transaction."""
        if not self._lock.acquire(timeout=deadline.remaining()):
            raise self.failed("other threads use it for too long")
        try:
            connection = self._connect(deadline)
            connection.execute(f"PRAGMA busy_timeout = {math.ceil(deadline.remaining() * 1000)}")
            yield connection
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise self.failed(f"{error}{self._without_damaged(error)}") from None
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def transaction(self, deadline: Deadline) -> Iterator[sqlite3.Connection]:
        """All that is written in it, or nothing where it is left by an error."""
        with self.opened(deadline) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def forget_aside(self, before: float) -> None:
        """Remove what was set aside, where it was written last before this time of the epoch."""
        for part in _PARTS:
            file = self.path.with_name(f"{self.path.name}{ASIDE}{part}")
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mtime < before:
                    file.unlink()

    def failed(self, why: str) -> Exception:
        """The error that says this of the file; it is told."""
        text = f"{self.path}: {why}"
        self._note(text)
        return self._kind.error(text)

    def close(self) -> None:
        """Close the file; a use after that opens it again."""
        with self._lock:
            self._close()

    def _connect(self, deadline: Deadline) -> sqlite3.Connection:
        """The file that has the name now: somebody may have removed the one that is open."""
        if self._connection is not None and self._file == number(self.path):
            return self._connection
        self._close()
        if self._kind.mode is not None:
            _make(self.path, self._kind.mode)
        connection = sqlite3.connect(
            self.path, deadline.remaining(), isolation_level=None, check_same_thread=False
        )
        # A text that is damaged keeps nobody from reading the others.
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        try:
            self._file = number(self.path)
            for statement in self._kind.opening:
                connection.execute(statement)
            write_ahead(connection, deadline)
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(self._kind.schema)
        elif version != self._kind.version:
            raise self.failed(f"is of version {version}; expected {self._kind.version}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _without_damaged(self, error: Exception) -> str:
        """What was done with the file because of the error, as it is told."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            return ""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            # Whoever else met the damage waits here, and then finds another file of this name.
            fcntl.flock(file, fcntl.LOCK_EX)
            if self._file == number(self.path) == os.fstat(file.fileno()).st_ino:
                self._away()
        if self._kind.aside:
            return f" (it is set aside as {self.path.name}{ASIDE}, and begun anew)"
        return " (it is removed and begun anew)"

    def _away(self) -> None:
        for part in reversed(_PARTS):
            file = self.path.with_name(f"{self.path.name}{part}")
            if self._kind.aside and part != "-shm":
                target = file.with_name(f"{self.path.name}{ASIDE}{part}")
                target.unlink(missing_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    file.rename(target)
            else:
                file.unlink(missing_ok=True)


def number(path: Path) -> int:
    """The number of the file of this name; 0 where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _make(path: Path, mode: int) -> None:
    """An empty file, which SQLite takes for a new database; -wal and -shm get its mode."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
