"""One question to a content filter: whatever the server does, it ends by the deadline."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.engines import link as engine
from milters.engines.engine import EngineError
from milters.engines.link import ANSWER, content
from tests.contentfilter import ContentFilter, Serve, answering, request

QUESTION = b"ASK\r\n\r\n"


def exchange(serve: Serve, seconds: float = 5, pieces: tuple[bytes, ...] = (QUESTION,)) -> bytes:
    with ContentFilter(serve) as server:
        return engine.exchange(Server.parse(server.address), pieces, Deadline.after(seconds))


def fails(serve: Serve, seconds: float = 5, pieces: tuple[bytes, ...] = (QUESTION,)) -> str:
    """Why; never later than the deadline, by more than a loaded machine needs."""
    began = time.monotonic()
    with pytest.raises(EngineError) as caught:
        exchange(serve, seconds, pieces)
    assert time.monotonic() - began < seconds + 4
    return str(caught.value)


def hanging(link: socket.socket, over: threading.Event) -> None:
    request(link)
    over.wait(10)


def reading_nothing(_link: socket.socket, over: threading.Event) -> None:
    over.wait(10)


def dripping(link: socket.socket, over: threading.Event) -> None:
    """A byte each 50 ms, each long before any time-out of a single read."""
    while not over.wait(0.05):
        link.sendall(b"x")


def flooding(link: socket.socket, over: threading.Event) -> None:
    """100 MB, as fast as they are taken."""
    for _ in range(100):
        if not over.is_set():
            link.sendall(bytes(1_000_000))


def slamming(link: socket.socket, _over: threading.Event) -> None:
    """Closed with what was sent unread: a reset."""
    link.recv(1)


def test_the_whole_answer_is_read() -> None:
    assert exchange(answering(b"x" * ANSWER)) == b"x" * ANSWER
    assert exchange(answering(b"")) == b""


def reading_all(link: socket.socket, _over: threading.Event) -> None:
    """It answers once the client has closed its side."""
    while link.recv(4096):
        pass
    link.sendall(b"answer")


def test_our_side_is_closed_where_it_is_told() -> None:
    with ContentFilter(reading_all) as server:
        one = Server.parse(server.address)
        assert engine.exchange(one, [QUESTION], Deadline.after(5), ended=True) == b"answer"
        with pytest.raises(EngineError, match="in time"):
            engine.exchange(one, [QUESTION], Deadline.after(0.2))


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.create_server(str(path), family=socket.AF_UNIX) as listener:

        def serve() -> None:
            link, _peer = listener.accept()
            with link:
                request(link)
                link.sendall(b"answer")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            server = Server.parse(f"unix:{path}")
            assert engine.exchange(server, [QUESTION], Deadline.after(5)) == b"answer"
        finally:
            thread.join(10)


@pytest.mark.parametrize("serve", [hanging, dripping])
def test_it_hangs_or_drips(serve: Serve) -> None:
    assert fails(serve, 0.3) == "gives no answer in time"


def test_it_reads_nothing() -> None:
    assert fails(reading_nothing, 0.3, (bytes(1 << 20),) * 16) == "gives no answer in time"


def test_it_answers_without_end() -> None:
    assert fails(flooding) == f"gives an answer of more than {ANSWER} bytes"


def test_it_slams_the_door() -> None:
    assert fails(slamming, 5, (bytes(1 << 20),) * 16).startswith("cannot be asked: ")


def test_it_is_not_there(tmp_path: Path) -> None:
    with ContentFilter(hanging) as gone:
        address = gone.address
    for server in (address, f"unix:{tmp_path}/socket", f"unix:/{'long' * 50}"):
        with pytest.raises(EngineError, match="cannot be asked: "):
            engine.exchange(Server.parse(server), [QUESTION], Deadline.after(5))


def test_the_message_cannot_be_read() -> None:
    def pieces() -> Iterator[bytes]:
        yield QUESTION
        raise OSError(5, "Input/output error")

    with ContentFilter(hanging) as server, pytest.raises(EngineError, match="cannot be asked"):
        engine.exchange(Server.parse(server.address), pieces(), Deadline.after(5))


def test_without_time_nobody_is_asked() -> None:
    pieces = iter([QUESTION])
    with ContentFilter(hanging) as server:
        with pytest.raises(EngineError, match="gives no answer in time"):
            engine.exchange(Server.parse(server.address), pieces, Deadline.after(0))
        assert server.asked == 0
    assert next(pieces) == QUESTION


def test_the_length_that_the_head_says_is_the_length_there_is() -> None:
    assert content(b"A\r\nContent-length: 2\r\n\r\nxy") == ([b"A", b"Content-length: 2"], b"xy")
    for answer in (
        *(b"A\r\nContent-length: 3\r\n\r\nxy", b"A\r\nContent-length: 1\r\n\r\nxy"),
        *(b"A\r\n\r\nxy", b"A\r\nContent-length: 2\r\nxy", b"\0\xff" * 100, b"\r\n\r\n"),
        b"A\r\nContent-length: 2\r\nContent-length: 3\r\n\r\nxy",
        b"A\r\nContent-length: " + b"9" * 5000 + b"\r\n\r\nxy",
    ):
        with pytest.raises(EngineError, match="not whole"):
            content(answer)
    with pytest.raises(EngineError, match="without an answer"):
        content(b"")
