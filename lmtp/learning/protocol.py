"""What `iems-bayes` is asked over its socket, from both sides: Dovecot's script protocol, 4.0.

Pigeonhole's `execute` speaks it (ADR 0037 has what Dovecot 2.3.19 was seen to send), and so do the
command line and the agent. A connection is one request:

    VERSION <tab> script <tab> 4 <tab> 0       all lines end with LF
    env_USER=alice@example.test                lines that are passed over, if there are any
    -                                          or `noreply`
    move                                       the verb, and the arguments, one a line, in which
    alice@example.test                         TAB, CR, LF, NUL and \\001 are written as \\001 and
    from=inbox                                 a character; first the user, then name=value
                                               an empty line
    the input, as it is, up to the end of what the client sends

and the answer is any lines of text, and at last `+` or `-` in a line of its own. Who is answered
nothing, or neither of them, has to take it for a failure.

Nothing here decides anything. Bytes that are no request are a `RequestError`, a peer that is gone
or silent a `PeerError`; both say why in words that may be logged.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from iems.serve.deadline import Deadline

_VERSION = b"VERSION\tscript\t4\t"
"""The third number is the minor one, which may grow without harm."""

_LARGEST_HEAD = 16 * 1024
"""Bytes up to the empty line; Pigeonhole's own limit is 1,024 for an argument."""

LATER = "kept, to be done later"
"""How the answer begins to who waits, where nothing could be done yet."""

_LARGEST_ANSWER = 1 << 20
_CHUNK = 64 * 1024
_WORD = re.compile(r"[a-z][a-z-]{0,31}")
_ESCAPED = {b"0": b"\0", b"1": b"\1", b"t": b"\t", b"r": b"\r", b"n": b"\n"}
_ESCAPE = {plain: b"\1" + letter for letter, plain in _ESCAPED.items()}


class RequestError(Exception):
    """What came is no request; the message says why."""


class PeerError(Exception):
    """The other side is not there, went away, is silent, or has not answered; why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted, for which user (his address in lower case), and what more is said of it."""

    verb: str
    user: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Input:
    """The first bytes of what came behind a request, and how many came in all."""

    head: bytes
    size: int

    @property
    def whole(self) -> bool:
        """Whether the head is all."""
        return len(self.head) == self.size


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether it is done, or safely kept to be done, and what is told."""

    done: bool
    text: str = ""


class Conversation:
    """One connection, as the daemon sees it: `request`, `input`, `answer`, in this order."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def request(self, deadline: Deadline) -> Request:
        """What is asked."""
        lines = self._lines(deadline)
        if not next(lines).startswith(_VERSION):
            raise RequestError("another protocol, or another version of it")
        for line in lines:
            if line in {b"-", b"noreply"}:
                break
            if not line:
                raise RequestError("the arguments do not begin")
        arguments: list[bytes] = []
        for line in lines:
            if not line:
                return _request(arguments)
            arguments.append(_plain(line))
        raise RequestError("the arguments do not end")

    def input(self, limit: int, deadline: Deadline) -> Input:
        """The first `limit` bytes of the input, which is read to its end."""
        head, size = bytearray(), 0
        chunk, self._rest = self._rest, b""
        while chunk or (chunk := _receive(self._connection, deadline)):
            head += chunk[: limit - len(head)]
            size += len(chunk)
            chunk = b""
        return Input(bytes(head), size)

    def answer(self, answer: Answer, deadline: Deadline) -> None:
        """The answer, and the end of the conversation."""
        told = answer.text.strip("\n") + "\n" if answer.text else ""
        _send(self._connection, told.encode() + (b"+\n" if answer.done else b"-\n"), deadline)

    def _lines(self, deadline: Deadline) -> Iterator[bytes]:
        left = _LARGEST_HEAD
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if len(line) >= left:
                raise RequestError("the arguments are too long")
            if end:
                left -= len(line) + 1
                self._rest = rest
                yield line
            else:
                chunk = _receive(self._connection, deadline)
                if not chunk:
                    raise PeerError("the peer went away in the midst of its request")
                self._rest += chunk


class Asked:
    """A request that is with the daemon on `path`, and will be answered; PeerError if it is not.

    All that needs the rights of a client is done when it is made.
    """

    def __init__(self, path: Path, request: Request, data: bytes, deadline: Deadline) -> None:
        self._deadline = deadline
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.settimeout(max(deadline.remaining(), 0.001))
            self._connection.connect(str(path))
            _send(self._connection, encode(request) + data, deadline)
            self._connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.close()
            raise PeerError(f"cannot reach {path}: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise

    def answer(self) -> Answer:
        """What it answers; PeerError where that does not come in time."""
        told = bytearray()
        while chunk := _receive(self._connection, self._deadline):
            told += chunk
            if len(told) > _LARGEST_ANSWER:
                raise PeerError("the answer is too long")
        if not told.endswith((b"+\n", b"-\n")):
            raise PeerError("no answer")
        text = told[:-2].decode(errors="replace").strip("\n")
        return Answer(told.endswith(b"+\n"), text)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def ask(path: Path, request: Request, data: bytes, deadline: Deadline) -> Answer:
    """Ask the daemon that listens on `path`; PeerError where there is no answer in time.

    The daemon may have done what was asked even so: ask again, which does it once.
    """
    with contextlib.closing(Asked(path, request, data, deadline)) as asked:
        return asked.answer()


def encode(request: Request) -> bytes:
    """A request, up to where its input begins."""
    options = [f"{name}={value}" for name, value in request.options.items()]
    lines = [_VERSION + b"0", b"-"]
    lines += [_escaped(text.encode()) for text in (request.verb, request.user, *options)]
    return b"\n".join(lines) + b"\n\n"


def _request(arguments: list[bytes]) -> Request:
    try:
        words = [argument.decode() for argument in arguments]
    except UnicodeDecodeError:
        raise RequestError("an argument is no UTF-8") from None
    verb, user, *rest = [*words, "", ""] if len(words) < 2 else words
    if not _WORD.fullmatch(verb):
        raise RequestError("no verb")
    if "@" not in user or not user.isprintable() or " " in user or len(user.encode()) > 320:
        raise RequestError("no address of a user")
    options = {}
    for word in filter(None, rest):
        name, equals, value = word.partition("=")
        if not equals or not _WORD.fullmatch(name):
            raise RequestError("an argument is no name=value")
        options[name] = value
    return Request(verb, user.lower(), options)


def _escaped(text: bytes) -> bytes:
    return re.sub(rb"[\x00\x01\t\r\n]", lambda found: _ESCAPE[found.group()], text)


def _plain(text: bytes) -> bytes:
    def one(found: re.Match[bytes]) -> bytes:
        return _ESCAPED.get(found.group(1), found.group(1))

    return re.sub(rb"\x01(.?)", one, text, flags=re.DOTALL)


def _receive(connection: socket.socket, deadline: Deadline) -> bytes:
    try:
        connection.settimeout(max(deadline.remaining(), 0.001))
        return connection.recv(_CHUNK)
    except TimeoutError:
        raise PeerError("the peer is silent") from None
    except OSError as error:
        raise PeerError(f"the peer went away: {error.strerror or error}") from None


def _send(connection: socket.socket, data: bytes, deadline: Deadline) -> None:
    try:
        connection.settimeout(max(deadline.remaining(), 0.001))
        connection.sendall(data)
    except TimeoutError:
        raise PeerError("the peer takes nothing") from None
    except OSError as error:
        raise PeerError(f"the peer went away: {error.strerror or error}") from None
