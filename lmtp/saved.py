"""What users have trained, in a backup: a store in a file, of whatever keeps it here.

Of each user it is as he is at one moment. What is restored is read whole before anything is
written, and of whom there is something here already nothing is taken.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from iems.backup.archive import ArchiveError
from iems.serve.deadline import Deadline
from iems.settings.bayes import BayesSettings
from lmtp.bayes import copying
from lmtp.bayes.sqlitestore import FILE, SqliteStore
from lmtp.bayes.store import Kept, StoreError, checked
from lmtp.trained import connect_store

_LIMIT = 30.0
"""Seconds for the names of all users."""


@dataclass(frozen=True, slots=True)
class Filters:
    """The store that the settings name; StoreError where that cannot be read or written."""

    settings: BayesSettings

    def save(self, file: Path) -> int:
        """Write it into a new file; how many users there are."""
        if not self.settings.shared and not (self.settings.store / FILE).exists():
            return 0
        with closing(connect_store(self.settings)) as store, closing(SqliteStore(file)) as copy:
            return copying.copy(store, copy)

    def check(self, file: Path) -> int:
        """How many users there are in it; ArchiveError where it is no such file."""
        with closing(connect_store(self.settings)) as store:
            store.users(Deadline.after(_LIMIT))
        with closing(SqliteStore(file)) as copy:
            try:
                return sum(1 for _user, kept, _entries in copying.everyone(copy) if _whole(kept))
            except (StoreError, ValueError):
                raise ArchiveError(f"{file.name} is no file of what users have trained") from None

    def restore(self, file: Path) -> int:
        """Take it from there, of all of whom there is nothing; how many."""
        with closing(connect_store(self.settings)) as store, closing(SqliteStore(file)) as copy:
            return copying.copy(copy, store)


def _whole(kept: Kept) -> bool:
    """That a store takes it; ValueError."""
    checked(kept)
    return True
