"""Where a message lies between its arrival and its delivery: small ones in memory, large on disk.

The header block is kept in memory up to 1 MiB. The body stays in memory up to 256 KiB; a larger
one goes to a file in the spool folder that has no name, so that nothing is left behind when the
process dies, and is read in pieces: neither way grows the process with the message. This is no
queue: the sender still has the message and is told nothing good before the next hop has it. A disk
that is full is an OSError.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from iems.codec.links import Link
from iems.edits.inventory import Inventory
from iems.model.message import Body

HEADER_LIMIT = 1 << 20
MEMORY_LIMIT = 256 << 10
PIECE = 128 << 10
"""Bytes that are read from a file at once."""

_AT_ONCE, _END = re.compile(rb"(\r?\n)"), re.compile(rb"\n(\r?\n)")
"""An empty line ends the header, with bare LF too: Dovecot and Pigeonhole read it so."""


class TooLargeError(Exception):
    """The message or its header block is larger than allowed; what came is dropped."""


class MemoryBody:
    """A body of which all is in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._data)

    def pieces(self) -> Iterator[bytes]:
        """The whole as one piece."""
        if self._data:
            yield self._data


class FileBody:
    """A body in a file without a name; reading moves no file offset."""

    __slots__ = ("_descriptor", "_size")

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def pieces(self) -> Iterator[bytes]:
        """The bytes in order."""
        at = 0
        while at < self._size:
            piece = os.pread(self._descriptor, min(PIECE, self._size - at), at)
            if not piece:
                raise OSError(f"spool file ends at {at} of {self._size} bytes")
            at += len(piece)
            yield piece

    def reopened(self) -> int:
        """A descriptor of the caller's own, by which the bytes can be read and not written."""
        return os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message that has arrived whole: header block with its last line end, and the rest.

    `links` keeps what readers found by how many bytes they read, for several lists ask about the
    same; and `inventories` the files in it, once they were looked for.
    """

    header: bytes
    body: Body
    links: dict[int, tuple[Link, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    inventories: list[Inventory] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    @property
    def size(self) -> int:
        """Bytes of the whole message."""
        return len(self.header) + self.body.size


class Incoming:
    """A message on its way in; leaving the `with` block frees what it holds."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._size = 0
        self._head = bytearray()
        self._header: bytes | None = None
        self._parts: list[bytes] = []
        self._held = 0
        self._descriptor = -1

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, piece: bytes) -> None:
        """Take the next bytes; TooLargeError or OSError mean that the message cannot be kept."""
        self._size += len(piece)
        if self._size > self._limit:
            raise TooLargeError(f"message of more than {self._limit} bytes")
        if self._header is None:
            self._write_head(piece)
        else:
            self._write_body(piece)

    def finish(self) -> Spooled:
        """The message; its body can be read until `close`."""
        header, body = self._header, b"".join(self._parts)
        if header is None:
            header = bytes(self._head)
        if self._descriptor < 0:
            return Spooled(header, MemoryBody(body))
        self._spill()
        return Spooled(header, FileBody(self._descriptor, self._size - len(header)))

    def close(self) -> None:
        """Free memory and file."""
        self._head, self._parts = bytearray(), []
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_head(self, piece: bytes) -> None:
        searched = max(0, len(self._head) - 2)
        self._head += piece
        first = _AT_ONCE.match(self._head) if not searched else None
        match = first or _END.search(self._head, searched)
        if match is None and len(self._head) <= HEADER_LIMIT:
            return
        if match is None or match.start(1) > HEADER_LIMIT:
            raise TooLargeError(f"header of more than {HEADER_LIMIT} bytes")
        whole = bytes(self._head)
        self._head = bytearray()
        self._header = whole[: match.start(1)]
        self._write_body(whole[match.start(1) :])

    def _write_body(self, piece: bytes) -> None:
        self._parts.append(piece)
        self._held += len(piece)
        if self._held > MEMORY_LIMIT:
            self._spill()

    def _spill(self) -> None:
        if self._descriptor < 0:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
                self._descriptor = os.dup(file.fileno())
        for part in self._parts:
            _write_all(self._descriptor, part)
        self._parts, self._held = [], 0


class Spool:
    """The folder for large messages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def receive(self, limit: int) -> Incoming:
        """Begin a message of at most `limit` bytes."""
        return Incoming(self._folder, limit)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
