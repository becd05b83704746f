"""Making address books of users: with an account, and for those who have none.

Each is authorised and audited (`iems.directory.admin`). One that is there already, and a tree of an
earlier version, which has no place for them, are no errors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from iems.directory.admin import Admin
from iems.directory.authority import Thing
from iems.directory.contacts import book_entry, book_values
from iems.directory.store import EntryExistsError, NoEntryError, Write
from iems.serve.deadline import Deadline

_BATCH = 200
"""As many as slapd takes of a connection at once, and no more (olcConnMaxPendingAuth)."""

_SECONDS = 60.0
"""For the writes of a batch."""


def missing(admin: Admin, users: Iterable[str]) -> list[str]:
    """Those of these users, by address, who have none."""
    present = admin.books()
    return [user for user in users if user not in present]


def make(admin: Admin, users: Iterable[str]) -> int:
    """One for each of them; how many were made. What the server refuses is raised."""
    made, rest = 0, iter(users)
    while batch := list(itertools.islice(rest, _BATCH)):
        writes = [
            (Thing("address-book", user), Write(book_entry(user), book_values(user)))
            for user in batch
        ]
        for error in admin.write(writes, Deadline.after(_SECONDS)):
            if error is None:
                made += 1
            elif not isinstance(error, EntryExistsError | NoEntryError):
                raise error
    return made
