"""Commands to a server and its replies (RFC 5321 section 4.2), with bounds on time and length.

It knows no command. Whatever goes wrong is a `BrokenError` that carries the temporary reply for
those who wait; a reply 421 is one, too, because the server closes the connection with it.
"""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Sequence

from iems.serve.deadline import Deadline
from lmtp.reply import Reply, reply
from lmtp.wire import DisconnectedError, LineTooLongError, SilentError, Wire

CONNECT = 10.0
"""Seconds: the server is on this machine or beside it."""

COMMAND = 60.0
"""Seconds that the reply to one command may take; Dovecot asks its userdb at RCPT."""

_LINE = 2048
_LINES = 100
_REPLY = re.compile(rb"([2-5][0-9]{2})([ -]?)(.*)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

_LOST = reply(451, "4.4.2", "Connection to the next hop was lost")
_UNREACHABLE = reply(451, "4.4.1", "Next hop cannot be reached")
_LATE = reply(451, "4.4.7", "Next hop took too long")
_SENSELESS = reply(451, "4.5.0", "Next hop gave a reply that makes no sense")


class BrokenError(Exception):
    """The dialogue cannot go on; `answer` is the reply for all who have none yet."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(str(answer))
        self.answer = answer


class Dialogue:
    """A connected socket on which one side asks and the other replies."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._wire = Wire(connection)

    @classmethod
    def open(cls, target: str, deadline: Deadline) -> Dialogue:
        """Connect to `unix:PATH` or `inet:HOST:PORT`."""
        kind, _colon, place = target.partition(":")
        bound = min(CONNECT, max(deadline.remaining(), 0.001))
        try:
            connection = _unix(place, bound) if kind == "unix" else _inet(place, bound)
        except OSError:
            raise BrokenError(_UNREACHABLE) from None
        connection.settimeout(None)
        return cls(connection)

    @property
    def alive(self) -> bool:
        """Whether the server has neither closed the connection nor said anything unasked."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return self._wire.idle and not poll.poll(0)

    def close(self) -> None:
        """Leave without a word: every server has to cope with that."""
        self._socket.close()

    def ask(self, commands: Sequence[str], deadline: Deadline, *, together: bool) -> list[Reply]:
        """One reply for each command; `together` sends them as one group (RFC 2920)."""
        lines = [f"{command}\r\n".encode() for command in commands]
        if together:
            self._wire.send(b"".join(lines))
            return [self.reply(COMMAND, deadline) for _line in lines]
        replies = []
        for line in lines:
            self._wire.send(line)
            replies.append(self.reply(COMMAND, deadline))
        return replies

    def say(self, data: bytes, deadline: Deadline) -> None:
        """Send bytes that have no reply of their own."""
        self._patience(COMMAND, deadline)
        try:
            self._wire.send(data)
            self._wire.flush()
        except SilentError:
            raise BrokenError(_LATE) from None
        except DisconnectedError:
            raise BrokenError(_LOST) from None

    def reply(self, seconds: float, deadline: Deadline) -> Reply:
        """The next reply, of one line or more."""
        lines: list[bytes] = []
        code = b""
        self._patience(seconds, deadline)
        while len(lines) < _LINES:
            match = _REPLY.fullmatch(self._line())
            if match is None or code not in {b"", match.group(1)}:
                break
            code = match.group(1)
            lines.append(_CONTROL.sub(b"?", match.group(3)))
            if match.group(2) != b"-":
                return _open_end(Reply(int(code), tuple(lines)))
        raise BrokenError(_SENSELESS)

    def _line(self) -> bytes:
        try:
            return self._wire.line(_LINE)
        except SilentError:
            raise BrokenError(_LATE) from None
        except DisconnectedError:
            raise BrokenError(_LOST) from None
        except LineTooLongError:
            raise BrokenError(_SENSELESS) from None

    def _patience(self, seconds: float, deadline: Deadline) -> None:
        left = min(seconds, deadline.remaining())
        if left <= 0:
            raise BrokenError(_LATE)
        self._wire.patience(left)


def _open_end(answer: Reply) -> Reply:
    if answer.code == 421:
        raise BrokenError(Reply(451, answer.lines))
    return answer


def _unix(path: str, bound: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(bound)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _inet(place: str, bound: float) -> socket.socket:
    host, _colon, port = place.rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), bound)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
