"""SQLite's write-ahead log, which several processes may begin for one new file at once."""

from __future__ import annotations

import sqlite3
import time

from iems.serve.deadline import Deadline

_AGAIN = 0.01
"""Seconds before a new file is looked at again that another process is making."""


def write_ahead(connection: sqlite3.Connection, deadline: Deadline) -> None:
    """Begin it; sqlite3.Error.

    SQLite does not wait by itself while another process does, whatever the connection's timeout.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or deadline.expired:
                raise
            time.sleep(_AGAIN)
        else:
            return
