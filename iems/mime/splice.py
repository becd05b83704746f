"""Edits of bytes by offsets: what no splice covers stays as it is, byte for byte.

It knows nothing of mail. An edit that follows another is made against the bytes that the first one
left, so that offsets are always those of one message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class SpliceError(ValueError):
    """Splices that cannot be meant: they overlap, or are outside of the bytes."""


@dataclass(frozen=True, slots=True)
class Splice:
    """`new` takes the place of the bytes `start` to `end`, of none where these are equal."""

    start: int
    end: int
    new: bytes = b""


def apply(data: bytes, splices: Iterable[Splice]) -> bytes:
    """The bytes with all splices, given in any order; at one place the first given stands first."""
    view, pieces, at = memoryview(data), [], 0
    for splice in sorted(splices, key=lambda one: (one.start, one.end)):
        if not at <= splice.start <= splice.end <= len(data):
            raise SpliceError(
                f"bytes {splice.start} to {splice.end} cannot be replaced: "
                f"expected {at} or more, in order, up to {len(data)}"
            )
        pieces += [view[at : splice.start], memoryview(splice.new)]
        at = splice.end
    return b"".join([*pieces, view[at:]]) if pieces else data
