"""Where a text goes in another, and the changes that put it there."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple


class Place(enum.Enum):
    """Where it goes, by the word that settings and options have for it."""

    BOTTOM = "bottom"
    TOP = "top"
    QUOTE = "above-quote"
    """Above the message that is answered or forwarded; at the bottom where there is none."""


class Change(NamedTuple):
    """`new` takes the place of the letters `start` to `end` of a text."""

    start: int
    end: int
    new: str


def changed(text: str, changes: Iterable[Change]) -> str:
    """The text with the changes, which do not overlap and are in order."""
    pieces, at = [], 0
    for change in changes:
        pieces += [text[at : change.start], change.new]
        at = change.end
    return "".join([*pieces, text[at:]])
