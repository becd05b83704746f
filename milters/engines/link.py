"""One question to a content filter: connect, send, and read to the end, all by one deadline.

An answer is kept up to 256 KiB. Nothing is sent twice.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.serve.link import connected, wait
from milters.engines.engine import EngineError

ANSWER = 256 << 10
"""Bytes; rspamd tells some 10 KiB of a message that many rules match."""

_PIECE = 64 << 10


def exchange(
    server: Server, pieces: Iterable[bytes], deadline: Deadline, *, ended: bool = False
) -> bytes:
    """All that it answers until it closes; EngineError. `ended` closes our side before."""
    try:
        with connected(server, deadline) as link:
            broken = _sent(link, pieces, deadline)
            if ended and broken is None:
                link.shutdown(socket.SHUT_WR)
            answer = _answer(link, deadline)
            if broken is not None and not answer:
                raise broken
            return answer
    except TimeoutError:
        raise EngineError("gives no answer in time") from None
    except OSError as error:
        raise EngineError(f"cannot be asked: {error.strerror or type(error).__name__}") from None


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


def _sent(
    link: socket.socket, pieces: Iterable[bytes], deadline: Deadline
) -> ConnectionError | None:
    """Send all; why not, where it has closed meanwhile, for it may have said why before."""
    for piece in pieces:
        wait(link, deadline)
        try:
            link.sendall(piece)
        except ConnectionError as error:
            return error
    return None


def _answer(link: socket.socket, deadline: Deadline) -> bytes:
    answer = bytearray()
    while True:
        wait(link, deadline)
        try:
            piece = link.recv(_PIECE)
        except ConnectionResetError:
            if not answer:
                raise
            return bytes(answer)
        if not piece:
            return bytes(answer)
        answer += piece
        if len(answer) > ANSWER:
            raise EngineError(f"gives an answer of more than {ANSWER} bytes")
