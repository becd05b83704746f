"""Which recipients share an upstream transaction: those whose bytes are equal.

A copy that names its recipient (X-Original-To) is sent to that one alone, even where another's
copy would be the same: with several recipients Dovecot writes no Delivered-To, and nobody learns
who else got the message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lmtp.editing import Change
from lmtp.subjects import Target


@dataclass(frozen=True, slots=True)
class Copy:
    """What one recipient gets: `fields` go on top of the message; `alone` if they name him.

    `changes` are what is changed in it otherwise.
    """

    target: Target
    upstream: str
    fields: bytes
    alone: bool
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """One upstream transaction."""

    upstream: str
    fields: bytes
    targets: tuple[Target, ...]
    changes: tuple[Change, ...] = ()


def group(copies: Iterable[Copy]) -> list[Group]:
    """The transactions to make, in the order of their first recipients."""
    shared: dict[tuple[str, bytes, tuple[Change, ...], str], list[Target]] = {}
    for copy in copies:
        owner = copy.target.key if copy.alone else ""
        equal = (copy.upstream, copy.fields, copy.changes, owner)
        shared.setdefault(equal, []).append(copy.target)
    return [
        Group(upstream, fields, tuple(targets), changes)
        for (upstream, fields, changes, _owner), targets in shared.items()
    ]
