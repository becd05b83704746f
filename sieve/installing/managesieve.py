"""The Sieve scripts of a user on his server, by ManageSieve (RFC 5804), as a master user.

One connection is one user's, made and closed by `opened`. Who opens it logs in for the user by
SASL PLAIN (RFC 4616), which names both. There is no TLS: the server is this host itself, or is
reached by a network that nobody else is in.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from iems.serve.deadline import Deadline
from sieve.installing.scripts import RefusedError, ServerError

_LINE = 1 << 16
_LARGEST = 16 << 20
"""Bytes of an answer: a server holds a script to 1 MiB, and tells at most some lines about it."""

_PIECE = 1 << 16

_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_LITERAL = re.compile(rb"\{(\d{1,9})\+?\}$")
_ENDS = re.compile(rb'(OK|NO|BYE)(?: \(([^ ")]+)[^)]*\))?(?: |$)', re.IGNORECASE)

Strings: TypeAlias = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Master:
    """The server at `host` and `port`, and who may log in to it for everybody."""

    host: str
    port: int
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of an answer: its strings, and what stands around them."""

    strings: Strings
    bare: bytes


class Connection:
    """The scripts of one user, over a connection that is logged in."""

    def __init__(self, wire: _Wire, extensions: frozenset[str]) -> None:
        self._wire = wire
        self.extensions = extensions
        """What the server's Sieve knows, by the names that `require` takes."""

    def listed(self) -> Mapping[str, bool]:
        """The names of all scripts, and of each whether it is the active one."""
        lines = self._wire.ask(b"LISTSCRIPTS")
        return {
            one.strings[0].decode("utf-8", "replace"): one.bare.strip().upper() == b"ACTIVE"
            for one in lines
            if one.strings
        }

    def get(self, name: str) -> bytes | None:
        """A script; None where there is none of this name."""
        # Asked first, for a server notes in its log each that somebody wants and is not there.
        if name not in self.listed():
            return None
        try:
            lines = self._wire.ask(b"GETSCRIPT " + _quoted(name))
        except RefusedError as error:
            if error.code == "NONEXISTENT":
                return None
            raise
        if len(lines) != 1 or len(lines[0].strings) != 1:
            raise ServerError("the answer to GETSCRIPT is no script")
        return lines[0].strings[0]

    def put(self, name: str, script: bytes) -> None:
        """Keep a script in the place of the one of this name, which stays where it is refused."""
        head = b"PUTSCRIPT %b {%d+}\r\n" % (_quoted(name), len(script))
        self._wire.ask(head + script)

    def delete(self, name: str) -> None:
        """Take a script away; one that is active is refused (`ACTIVE`)."""
        self._wire.ask(b"DELETESCRIPT " + _quoted(name))


@contextlib.contextmanager
def opened(master: Master, user: str, deadline: Deadline) -> Iterator[Connection]:
    """The scripts of this user; RefusedError where nobody logs in for him, ServerError."""
    try:
        with socket.create_connection((master.host, master.port), deadline.remaining()) as link:
            wire = _Wire(link, deadline)
            extensions = _extensions(wire.answer())
            words = f"{user}\0{master.name}\0{master.password}".encode()
            wire.ask(b'AUTHENTICATE "PLAIN" "%b"' % base64.b64encode(words))
            yield Connection(wire, extensions)
            with contextlib.suppress(RefusedError):
                wire.ask(b"LOGOUT")
    except OSError as error:
        raise ServerError(f"{master.host}:{master.port}: {error}") from error


class _Wire:
    """Commands and answers; all of them by one deadline."""

    def __init__(self, link: socket.socket, deadline: Deadline) -> None:
        self._link = link
        self._deadline = deadline
        self._buffer = bytearray()

    def ask(self, command: bytes) -> Sequence[_Line]:
        """The lines of the answer but the last, which says OK; RefusedError where it says NO."""
        self._in_time()
        self._link.sendall(command + b"\r\n")
        return self.answer()

    def answer(self) -> Sequence[_Line]:
        """The same for what the server says by itself."""
        lines: list[_Line] = []
        size = 0
        while True:
            line = self._line()
            size += sum(map(len, line.strings)) + len(line.bare) + len(b"\r\n")
            if size > _LARGEST:
                raise ServerError("the server says too much")
            ends = _ENDS.match(line.bare)
            if ends is None:
                lines.append(line)
                continue
            if ends[1].upper() == b"OK":
                return lines
            text = b" ".join(line.strings).decode("utf-8", "replace").strip()
            raise RefusedError(text, (ends[2] or b"").decode("ascii", "replace").upper())

    def _line(self) -> _Line:
        """Up to the end of a line that is in no literal."""
        strings: list[bytes] = []
        bare = b""
        while True:
            text = self._up_to_end()
            literal = _LITERAL.search(text)
            rest = text[: literal.start()] if literal else text
            strings += (re.sub(rb"\\(.)", rb"\1", one) for one in _STRING.findall(rest))
            bare += _STRING.sub(b"", rest)
            if literal is None:
                return _Line(tuple(strings), bare)
            length = int(literal[1])
            if length > _LARGEST:
                raise ServerError("the server says too much")
            strings.append(self._bytes(length))

    def _up_to_end(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LINE:
                raise ServerError("the server's line has no end")
            self._more()
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return text

    def _bytes(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        text = bytes(self._buffer[:length])
        del self._buffer[:length]
        return text

    def _more(self) -> None:
        self._in_time()
        piece = self._link.recv(_PIECE)
        if not piece:
            raise ServerError("the server hung up")
        self._buffer += piece

    def _in_time(self) -> None:
        if self._deadline.expired:
            raise ServerError("the server does not answer in time")
        self._link.settimeout(self._deadline.remaining())


def _extensions(greeting: Sequence[_Line]) -> frozenset[str]:
    for line in greeting:
        if len(line.strings) == 2 and line.strings[0].upper() == b"SIEVE":
            return frozenset(line.strings[1].decode("ascii", "replace").split())
    raise ServerError("it is no ManageSieve server")


def _quoted(name: str) -> bytes:
    """A name of ours, which has no quotes."""
    return b'"%b"' % name.encode()
