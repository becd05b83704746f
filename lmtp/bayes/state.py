"""What a classifier has learned of one user, of constant size, and the bytes kept of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_VERSION = 1
_MARK = struct.Struct("<2sB")
_MAGIC = b"IB"
_HEAD = struct.Struct("<2sBx12sIII")
"""Magic, version, name of the classifier, ham, spam, CRC of all the rest."""

MAX_STATE = 256 * 1024
"""Bytes, encoded."""

MOST_COUNTED = 0xFFFFFFFF
"""Where a count stays: a state that came from elsewhere may say that so many were trained."""


class StateError(ValueError):
    """These bytes are no state, or one of a version that is not known."""


@dataclass(slots=True)
class State:
    """The counts of what was trained, and the classifier's own table."""

    classifier: str
    table: bytearray
    ham: int = 0
    spam: int = 0

    def encode(self) -> bytes:
        """The bytes that `decode` reads."""
        name = self.classifier.encode()
        check = _check(name, self.ham, self.spam, self.table)
        return _HEAD.pack(_MAGIC, _VERSION, name, self.ham, self.spam, check) + self.table


def decode(raw: bytes) -> State:
    """A state of any version there was."""
    if len(raw) < _MARK.size:
        raise StateError("a state is longer than that")
    magic, version = _MARK.unpack_from(raw)
    if magic != _MAGIC:
        raise StateError("no state of the filter")
    if version not in _READERS:
        raise StateError(f"a state of version {version}, which is not known")
    return _READERS[version](raw)


def _first(raw: bytes) -> State:
    if not _HEAD.size <= len(raw) <= MAX_STATE:
        raise StateError("a state of another size")
    _magic, _version, padded, ham, spam, check = _HEAD.unpack_from(raw)
    name, table = padded.rstrip(b"\0"), bytearray(memoryview(raw)[_HEAD.size :])
    if _check(name, ham, spam, table) != check:
        raise StateError("a damaged state")
    return State(name.decode("ascii", "replace"), table, ham, spam)


def _check(name: bytes, ham: int, spam: int, table: bytearray) -> int:
    return zlib.crc32(table, zlib.crc32(struct.pack("<12sII", name, ham, spam)))


_READERS: Mapping[int, Callable[[bytes], State]] = {_VERSION: _first}
"""For each version there was, what makes a state of today of it."""
