"""Which recipients share an upstream transaction: those whose bytes are equal.

A copy that names its recipient (X-Original-To) is sent to that one alone, even where another's
copy would be the same: with several recipients Dovecot writes no Delivered-To, and nobody learns
who else got the message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lmtp.subjects import Target


@dataclass(frozen=True, slots=True)
class Copy:
    """What one recipient gets: `fields` go on top of the message; `alone` if they name him."""

    target: Target
    upstream: str
    fields: bytes
    alone: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One upstream transaction."""

    upstream: str
    fields: bytes
    targets: tuple[Target, ...]


def group(copies: Iterable[Copy]) -> list[Group]:
    """The transactions to make, in the order of their first recipients."""
    shared: dict[tuple[str, bytes, str], list[Target]] = {}
    for copy in copies:
        owner = copy.target.key if copy.alone else ""
        shared.setdefault((copy.upstream, copy.fields, owner), []).append(copy.target)
    return [
        Group(upstream, fields, tuple(targets))
        for (upstream, fields, _owner), targets in shared.items()
    ]
