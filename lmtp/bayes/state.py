"""What a classifier has learned of one user, of constant size, and the bytes kept of it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

_VERSION = 1
_HEAD = struct.Struct(">2sBB12sIIIiI")
"""Mark, version, nothing, name of the classifier, ham, spam, steps, bias, CRC of the table."""

_MARK = b"IB"
MAX_STATE = 256 * 1024
"""Bytes, encoded."""


class StateError(ValueError):
    """These bytes are no state, or one of a version that is not known."""


@dataclass(slots=True)
class State:
    """The counts of what was trained, and the classifier's own numbers."""

    classifier: str
    table: bytearray
    ham: int = 0
    spam: int = 0
    steps: int = 0
    """How often the table was changed: the rate of learning falls with it."""

    bias: int = 0

    def encode(self) -> bytes:
        """The bytes that `decode` reads."""
        return (
            _HEAD.pack(
                _MARK,
                _VERSION,
                0,
                self.classifier.encode(),
                self.ham,
                self.spam,
                self.steps,
                self.bias,
                zlib.crc32(self.table),
            )
            + self.table
        )


def decode(raw: bytes) -> State:
    """A state of any version there was."""
    if len(raw) < _HEAD.size:
        raise StateError("a state is longer than that")
    mark, version, _nothing, name, ham, spam, steps, bias, check = _HEAD.unpack_from(raw)
    if mark != _MARK:
        raise StateError("no state of the filter")
    if version != _VERSION:
        raise StateError(f"a state of version {version}, which is not known")
    table = bytearray(raw[_HEAD.size :])
    if zlib.crc32(table) != check:
        raise StateError("a damaged state")
    return State(name.rstrip(b"\0").decode("ascii", "replace"), table, ham, spam, steps, bias)
