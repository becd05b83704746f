"""A server that speaks RESP2, the protocol of Redis and Valkey: one command and one answer.

All of it ends by the deadline of the question. Commands are arrays of byte strings. Answers are
read as redis.io/docs/latest/develop/reference/protocol-spec says and believed in nothing: one is
kept up to 4 MiB and nested three deep. Connections are kept for whoever asks next and belong to one
thread at a time; the first one is opened by the first question, and so after the fork. Nothing is
sent twice: a connection that the server has closed meanwhile is noticed before it is used.

Failure: an error that the server answers with is an `AnsweredError`, all else a `RespError`, and
the connection is closed then. After a server was silent until a deadline nobody asks it for some
seconds, so that not every question waits as long. No text holds a password.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from iems.codec.printable import printable
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.serve.link import connected, wait

Answer: TypeAlias = "int | bytes | tuple[Answer, ...] | None"

LONGEST = 4 << 20
"""Bytes of an answer; 20,000 accounts that are held are some 2 MiB."""

REST = 5.0
"""Seconds for which a silent server is left alone: a client then waits at every third message."""

_PIECE = 64 << 10
_DEEPEST = 3
_IDLE = 8
"""Connections that are kept open; as many threads of a worker hardly ever count at once."""

_SHOWN = 200
"""Characters of an error of the server's that are told."""


class RespError(Exception):
    """There is no answer."""


class AnsweredError(RespError):
    """The answer is an error; `code` is its first word."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text, _SHOWN))
        self.code = printable(text.partition(" ")[0], _SHOWN)


@dataclass(frozen=True)
class Login:
    """Whom a connection belongs to; nobody logs in where `user` is empty."""

    user: str = ""
    password: str = field(default="", repr=False)


class Resp:
    """One server, asked by all threads of a process."""

    def __init__(self, server: Server, login: Login) -> None:
        self._server = server
        self._login = login
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []
        self._rests = 0.0

    def ask(self, command: Sequence[bytes], deadline: Deadline) -> Answer:
        """The answer; RespError."""
        if deadline.expired:
            raise RespError("cannot be asked: no time is left")
        if self._rests > time.monotonic():
            raise RespError(f"was silent, and is asked again within {REST:g} s")
        try:
            link = self._kept() or self._opened(deadline)
            answer = self._asked(link, command, deadline)
        except TimeoutError:
            self._rests = time.monotonic() + REST
            raise RespError("gives no answer in time") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise RespError(f"cannot be asked: {why}") from None
        self._keep(link)
        if isinstance(answer, AnsweredError):
            raise answer
        return answer

    def close(self) -> None:
        """Close what is idle; a question after that opens a connection again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def _kept(self) -> socket.socket | None:
        """A connection that is still good, if one is idle."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                link = self._idle.pop()
            if _quiet(link):
                return link
            link.close()

    def _keep(self, link: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle.append(link)
                return
        link.close()

    def _opened(self, deadline: Deadline) -> socket.socket:
        link = connected(self._server, deadline)
        if self._login.user:
            words = (b"AUTH", self._login.user.encode(), self._login.password.encode())
            answer = self._asked(link, words, deadline)
            if isinstance(answer, AnsweredError):
                link.close()
                # The rest of it may repeat what was sent.
                raise RespError(f"takes no login: {answer.code}")
        return link

    def _asked(
        self, link: socket.socket, command: Sequence[bytes], deadline: Deadline
    ) -> Answer | AnsweredError:
        """The one whole answer; whatever else there is closes the connection."""
        try:
            wait(link, deadline)
            link.sendall(_array(command))
            return read(link, deadline)
        except (OSError, RespError):
            link.close()
            raise


def read(link: socket.socket, deadline: Deadline) -> Answer | AnsweredError:
    """The answer, and nothing behind it; an error of the server's is returned. RespError."""
    reading = _Reading(link, deadline)
    answer = reading.value()
    reading.ended()
    return answer


class _Reading:
    """One answer, as it comes."""

    def __init__(self, link: socket.socket, deadline: Deadline) -> None:
        self._link = link
        self._deadline = deadline
        self._read = bytearray()
        self._at = 0

    def value(self, depth: int = 0) -> Answer | AnsweredError:
        """The value that begins here; what is an error of the server's is returned."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return AnsweredError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return _number(rest)
        if kind == b"$":
            return self._string(_number(rest))
        if kind == b"*" and depth < _DEEPEST:
            return self._array(_number(rest), depth)
        raise RespError("does not speak RESP")

    def ended(self) -> None:
        """RespError, where more has come than was asked for."""
        if self._at != len(self._read):
            raise RespError("says more than it was asked")

    def _string(self, length: int) -> bytes | None:
        if length == -1:
            return None
        if not 0 <= length <= LONGEST:
            raise RespError(f"gives an answer of more than {LONGEST} bytes")
        begin, end = self._at, self._at + length
        while len(self._read) < end + 2:
            self._more()
        if self._read[end : end + 2] != b"\r\n":
            raise RespError("does not speak RESP")
        self._at = end + 2
        return bytes(self._read[begin:end])

    def _array(self, count: int, depth: int) -> tuple[Answer, ...] | None:
        if count == -1:
            return None
        if not 0 <= count <= LONGEST:
            raise RespError(f"gives an answer of more than {LONGEST} bytes")
        values = list[Answer]()
        for _ in range(count):
            value = self.value(depth + 1)
            if isinstance(value, AnsweredError):
                raise value
            values.append(value)
        return tuple(values)

    def _line(self) -> bytes:
        looked = self._at
        while (end := self._read.find(b"\r\n", looked)) < 0:
            looked = max(self._at, len(self._read) - 1)
            self._more()
        line = bytes(self._read[self._at : end])
        self._at = end + 2
        return line

    def _more(self) -> None:
        wait(self._link, self._deadline)
        piece = self._link.recv(_PIECE)
        if not piece:
            raise RespError("closes the connection without an answer")
        self._read += piece
        if len(self._read) > LONGEST:
            raise RespError(f"gives an answer of more than {LONGEST} bytes")


def _array(words: Sequence[bytes]) -> bytes:
    pieces = [b"*%d\r\n" % len(words)]
    pieces += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(pieces)


def _number(text: bytes) -> int:
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        raise RespError("does not speak RESP")
    return int(text)


def _quiet(link: socket.socket) -> bool:
    """Whether it is open and says nothing that nobody asked for."""
    with contextlib.suppress(OSError):
        link.settimeout(0)
        try:
            link.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
    return False
