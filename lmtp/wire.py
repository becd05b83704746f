"""One connection's bytes: lines in, replies out, and the text of a message up to its end.

Only CRLF ends a line and only CRLF.CRLF ends DATA (RFC 5321 section 2.3.8); a bare CR or LF is a
byte like any other, so that no message ends here where Postfix did not end it (SMTP smuggling).
Replies are kept until there is nothing more to read: a pipelined group is answered by one write
(RFC 2920). A peer that is gone or silent is a `DisconnectedError`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_CHUNK = 128 * 1024
"""Bytes of one read; more gained nothing with 100 MB messages over a unix socket."""


class DisconnectedError(Exception):
    """The peer closed the connection, broke it, or sent nothing for too long."""


class SilentError(DisconnectedError):
    """The peer sent or took nothing for too long."""


class LineTooLongError(Exception):
    """A line had more bytes than allowed; it has been read to its end and is gone."""


class Unstuffer:
    """Finds the end of DATA and takes the dots away that RFC 5321 section 4.5.2 put in.

    What is fed may be split anywhere, the result is the same.
    """

    __slots__ = ("_held", "_started")

    def __init__(self) -> None:
        # The line end of the DATA command itself makes `.CRLF` an empty message.
        self._held = b"\r\n"
        self._started = False

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """The text that is certain by now, and what follows the end of DATA (None before it)."""
        data = self._held + chunk
        found = data.find(b"\r\n.")
        if found < 0:
            cut = len(data) - _undecided(data)
            self._held = data[cut:]
            return self._text([data[:cut]]), None
        pieces: list[bytes] = []
        at = 0
        while found >= 0:
            follows = data[found + 3 : found + 5]
            if follows == b"\r\n":
                pieces.append(data[at : found + 2])
                return self._text(pieces), data[found + 5 :]
            if follows in (b"", b"\r"):
                pieces.append(data[at:found])
                self._held = data[found:]
                return self._text(pieces), None
            pieces.append(data[at : found + 2])
            at = found + 3
            found = data.find(b"\r\n.", at)
        cut = len(data) - _undecided(data)
        pieces.append(data[at:cut])
        self._held = data[cut:]
        return self._text(pieces), None

    def _text(self, pieces: list[bytes]) -> bytes:
        text = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._started or not text:
            return text
        self._started = True
        return text[2:]


def _undecided(data: bytes) -> int:
    """How many bytes at the end may yet begin `CRLF.`."""
    if data.endswith(b"\r\n"):
        return 2
    return 1 if data.endswith(b"\r") else 0


def _lost(error: OSError) -> DisconnectedError:
    # EAGAIN is how the kernel reports SO_RCVTIMEO and SO_SNDTIMEO.
    return SilentError() if isinstance(error, BlockingIOError) else DisconnectedError(str(error))


class Wire:
    """A connected stream socket of which the caller is the only user."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._at = 0
        self._pending: list[bytes] = []
        self._patience = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing that was received is still to be read."""
        return self._at == len(self._buffer)

    def patience(self, seconds: float) -> None:
        """From now on a read or write that takes longer than this is a `DisconnectedError`.

        The kernel keeps the time (SO_RCVTIMEO), which saves the poll before each read.
        """
        if seconds != self._patience:
            self._patience = seconds
            whole = int(seconds)
            bound = struct.pack("ll", whole, max(int((seconds - whole) * 1e6), 0 if whole else 1))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bound)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bound)

    def line(self, limit: int) -> bytes:
        """The next line without its CRLF; `limit` counts bytes without the CRLF."""
        end = self._buffer.find(b"\r\n", self._at)
        while end < 0:
            if len(self._buffer) - self._at > limit + 1:
                self._skip_line()
                raise LineTooLongError
            searched = max(len(self._buffer) - 1, self._at) - self._at
            self._buffer = self._buffer[self._at :] + self._receive()
            self._at = 0
            end = self._buffer.find(b"\r\n", searched)
        line = self._buffer[self._at : end]
        self._at = end + 2
        if len(line) > limit:
            raise LineTooLongError
        return line

    def text(self) -> Iterator[bytes]:
        """The pieces of a message from here to CRLF.CRLF, unstuffed."""
        unstuffer = Unstuffer()
        chunk, self._buffer, self._at = self._buffer[self._at :], b"", 0
        while True:
            piece, rest = unstuffer.feed(chunk)
            if piece:
                yield piece
            if rest is not None:
                self._buffer = rest
                return
            chunk = self._receive()

    def send(self, data: bytes) -> None:
        """Keep `data` until `flush`, or until there is nothing more to read."""
        self._pending.append(data)

    def flush(self) -> None:
        """Write what is kept."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            try:
                self._socket.sendall(data)
            except OSError as error:
                raise _lost(error) from None

    def _receive(self) -> bytes:
        self.flush()
        try:
            chunk = self._socket.recv(_CHUNK)
        except OSError as error:
            raise _lost(error) from None
        if not chunk:
            raise DisconnectedError("closed by the peer")
        return chunk

    def _skip_line(self) -> None:
        end = -1
        while end < 0:
            last = b"\r" if self._buffer.endswith(b"\r") else b""
            self._buffer, self._at = last + self._receive(), 0
            end = self._buffer.find(b"\r\n")
        self._at = end + 2
