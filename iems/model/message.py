"""A message as bytes: the header block with its fields at their offsets (RFC 5322), and the body.

Nothing here changes a byte. Where a field was folded, broken or 8-bit it stays so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol


class Field(NamedTuple):
    """One header field: `raw` is the whole of it with its line ends, `start` its offset.

    A tuple, because a message has dozens and a frozen dataclass takes three times as long to make.
    """

    raw: bytes
    start: int
    name: bytes
    key: bytes
    """The name in lower case, by which fields are compared."""

    value: bytes
    occurrence: int
    """Which field of this name it is, counted from 1 at the top, case ignored."""


@dataclass(frozen=True)
class HeaderBlock:
    """All fields, and the raw bytes up to and without the empty line that ends them.

    `texts` keeps what readers have made of values: a hundred rules may read the same one.
    """

    raw: bytes
    fields: tuple[Field, ...]
    texts: dict[tuple[int, bool], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def named(self, name: bytes) -> tuple[Field, ...]:
        """The fields of this name, case ignored, from the top."""
        return self._by_key.get(name.lower(), ())

    @cached_property
    def _by_key(self) -> dict[bytes, tuple[Field, ...]]:
        found: dict[bytes, list[Field]] = {}
        for one in self.fields:
            found.setdefault(one.key, []).append(one)
        return {key: tuple(fields) for key, fields in found.items()}


class Body(Protocol):
    """The rest of the message, read in pieces so that 100 MB cost no memory."""

    @property
    def size(self) -> int:
        """Bytes, the empty line between header and body included."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """The bytes in order, in pieces of bounded size; may be called again."""
        ...
