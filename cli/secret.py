"""Passwords as the commands get and make them: from a file or standard input, never an argument."""

from __future__ import annotations

import itertools
import secrets
import sys
from pathlib import Path
from typing import TextIO

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 5
"""20 of 32 letters that cannot be mistaken for one another: 100 bits."""

_LONGEST = 1024
"""Characters of a line; what is longer is no password but another file."""


def generated() -> str:
    """A new password that nobody has guessed before."""
    groups = range(_GROUPS)
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in groups)


def lines(file: str, count: int) -> list[str]:
    """The first lines of a file, of standard input with `-`; ValueError where one is empty."""
    if file == "-":
        found = _first(sys.stdin, count)
    else:
        with Path(file).open(encoding="utf-8") as stream:
            found = _first(stream, count)
    if len(found) < count or not all(found):
        which = "first line" if count == 1 else f"first {count} lines"
        raise ValueError(f"{file}: no password in the {which}")
    return found


def _first(stream: TextIO, count: int) -> list[str]:
    read = itertools.islice(iter(lambda: stream.readline(_LONGEST), ""), count)
    return [line.rstrip("\n").rstrip("\r") for line in read]
