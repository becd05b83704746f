"""Several that begin to write ahead in one file at once."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from iems.serve.deadline import Deadline
from iems.store.wal import write_ahead

_AT_ONCE = 4


def test_who_comes_second_waits(tmp_path: Path) -> None:
    meet = threading.Barrier(_AT_ONCE)

    def begin(file: Path) -> str:
        connection = sqlite3.connect(file, timeout=20)
        try:
            meet.wait(20)
            write_ahead(connection, Deadline.after(20))
            [(mode,)] = connection.execute("PRAGMA journal_mode")
            return str(mode)
        finally:
            connection.close()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for number in range(40):
            found = threads.map(begin, [tmp_path / f"{number}.sqlite"] * _AT_ONCE)
            assert list(found) == ["wal"] * _AT_ONCE
