"""What users have trained, from one store into another: into a backup, out of it, onto a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from iems.serve.deadline import Deadline
from lmtp.bayes.store import DamagedError, Entry, Kept, Store, StoreError

_LIMIT = 30.0
"""Seconds for one user: some hundred times what it takes."""

_TRIES = 20


def copy(source: Store, target: Store) -> int:
    """Copy all of whom the target has nothing; how many. StoreError.

    Who has a damaged state is left out: training mends it.
    """
    present = set(target.users(Deadline.after(_LIMIT)))
    return sum(
        target.replace(user, replace(kept, number=0), entries, Deadline.after(_LIMIT))
        for user, kept, entries in everyone(source)
        if user not in present
    )


def everyone(source: Store) -> Iterator[tuple[str, Kept, list[Entry]]]:
    """Each user with his journal, as he is at one moment. StoreError."""
    for user in source.users(Deadline.after(_LIMIT)):
        try:
            kept, entries = _read(source, user, Deadline.after(_LIMIT))
        except DamagedError:
            continue
        if kept.number:
            yield user, kept, entries


def _read(source: Store, user: str, deadline: Deadline) -> tuple[Kept, list[Entry]]:
    for _ in range(_TRIES):
        kept = source.load(user, deadline)
        entries = source.journal(user, deadline)
        if source.load(user, deadline).number == kept.number:
            return kept, entries
    raise StoreError(f"{user}: others train at the same time")
