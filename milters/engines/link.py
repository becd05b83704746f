"""One question to a content filter: connect, send, and read to the end, all by one deadline.

Each wait is for what is left of the deadline, so a server that hangs, reads nothing or sends a byte
at a time holds a thread no longer than one that is down; an answer is kept up to 256 KiB. Nothing
is sent twice.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from iems.serve.deadline import Deadline
from milters.engines.engine import EngineError

ANSWER = 256 << 10
"""Bytes; rspamd tells some 10 KiB of a message that many rules match."""

_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens: the path of a socket, or an address and a port."""

    path: str = ""
    ip: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Server:
        """`unix:/PATH` or `inet:ADDRESS:PORT`; ValueError. A name would have to be looked up."""
        kind, _colon, rest = text.partition(":")
        if kind == "unix" and rest.startswith("/"):
            return cls(path=rest)
        host, _colon, port = rest.rpartition(":")
        if kind != "inet" or not port.isascii() or not port.isdecimal() or len(port) > 5:
            raise ValueError("expected unix:/PATH or inet:ADDRESS:PORT")
        ip = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
        if not 0 < int(port) < 65536:
            raise ValueError("expected a port from 1 to 65535")
        return cls(ip=ip, port=int(port))

    def exchange(
        self, pieces: Iterable[bytes], deadline: Deadline, *, ended: bool = False
    ) -> bytes:
        """All that it answers until it closes; EngineError. `ended` closes our side before."""
        try:
            with self._socket() as link:
                _wait(link, deadline)
                link.connect(self.path or (self.ip, self.port))
                for piece in pieces:
                    _wait(link, deadline)
                    link.sendall(piece)
                if ended:
                    link.shutdown(socket.SHUT_WR)
                return _answer(link, deadline)
        except TimeoutError:
            raise EngineError("gives no answer in time") from None
        except OSError as error:
            raise EngineError(
                f"cannot be asked: {error.strerror or type(error).__name__}"
            ) from None

    def _socket(self) -> socket.socket:
        if self.path:
            return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        family = socket.AF_INET6 if ":" in self.ip else socket.AF_INET
        return socket.socket(family, socket.SOCK_STREAM)


def content(answer: bytes) -> tuple[list[bytes], bytes]:
    """The lines of the head and what follows it, which is as long as the head says; EngineError."""
    if not answer:
        raise EngineError("closes the connection without an answer")
    head, gap, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    named = [line.partition(b":") for line in lines[1:]]
    lengths = {value.strip() for name, _colon, value in named if name.lower() == b"content-length"}
    if not gap or lengths != {b"%d" % len(body)}:
        raise EngineError("gives an answer that is not whole")
    return lines, body


def _answer(link: socket.socket, deadline: Deadline) -> bytes:
    answer = bytearray()
    while True:
        _wait(link, deadline)
        piece = link.recv(_PIECE)
        if not piece:
            return bytes(answer)
        answer += piece
        if len(answer) > ANSWER:
            raise EngineError(f"gives an answer of more than {ANSWER} bytes")


def _wait(link: socket.socket, deadline: Deadline) -> None:
    left = deadline.remaining()
    if not left:
        raise TimeoutError
    link.settimeout(left)
