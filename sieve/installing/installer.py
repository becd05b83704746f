"""One user's script brought to what it is to be, and nothing else of his touched.

A script is put only where it differs, by one command that the server carries out whole or not at
all: what it refuses leaves the former one in its place. Which of his scripts is active is his own
affair. What somebody has edited stays, unless it is said that it shall not.
"""

from __future__ import annotations

import enum

from sieve.installing.scripts import Scripts
from sieve.installing.sealed import NAME, intact, sealed


class Outcome(enum.Enum):
    """What became of it; the word is what is told."""

    INSTALLED = "installed"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    EDITED = "edited"

    @property
    def word(self) -> str:
        """As it is printed."""
        return self.value


def bring(scripts: Scripts, body: str | None, *, force: bool = False) -> Outcome:
    """Have this script in the user's storage, or with None none; RefusedError, ServerError.

    With `force` one that was edited is no reason to leave it.
    """
    present = scripts.get(NAME)
    if present is not None and not intact(present) and not force:
        return Outcome.EDITED
    if body is None:
        return _without(scripts) if present is not None else Outcome.UNCHANGED
    wanted = sealed(body)
    if present == wanted:
        return Outcome.UNCHANGED
    scripts.put(NAME, wanted)
    return Outcome.INSTALLED


def _without(scripts: Scripts) -> Outcome:
    if scripts.listed().get(NAME):
        # He has made it his active script: it stays that, and says nothing.
        scripts.put(NAME, sealed(""))
    else:
        scripts.delete(NAME)
    return Outcome.REMOVED
