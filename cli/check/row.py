"""One thing that was looked at, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`name` is the same from run to run; `text` says in a sentence what is, or what is wrong."""

    name: str
    ok: bool
    text: str


def row(name: str, ok: bool, good: str, wrong: str) -> Row:
    """The row with the one sentence or the other."""
    return Row(name, ok, good if ok else wrong)
