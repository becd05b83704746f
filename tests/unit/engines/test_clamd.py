"""clamd: what it is asked, and what becomes of its answer, true or not."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.engines import clamd
from milters.engines.engine import EngineError
from milters.engines.scanner import Octets, Scanned, Verdict
from tests.contentfilter import ContentFilter, Serve, scanning, stream


def scan(serve: Serve, data: bytes = b"x", seconds: float = 5) -> Scanned:
    with ContentFilter(serve) as server:
        one = clamd.Clamd(Server.parse(server.address))
        return one.scan(Octets.of(data), Deadline.after(seconds))


def ping(answer: bytes) -> str:
    def serve(link: socket.socket, _over: threading.Event) -> None:
        assert stream(link) == b"zVERSION\0"
        link.sendall(answer)

    with ContentFilter(serve) as server:
        return clamd.Clamd(Server.parse(server.address)).ping(Deadline.after(5))


@pytest.mark.parametrize(
    ("answer", "verdict", "name"),
    [
        (b"stream: OK\0", Verdict.CLEAN, ""),
        (b"stream: Win.Test.EICAR_HDB-1 FOUND\0", Verdict.INFECTED, "Win.Test.EICAR_HDB-1"),
        (b"stream: OK FOUND\0", Verdict.INFECTED, "OK"),
        (b"stream: A name (x) FOUND\0", Verdict.INFECTED, "A name (x)"),
        (b"stream: Heuristics.Phishing.Email FOUND\0", Verdict.INFECTED, None),
        (b"stream: Heuristics.Encrypted.Zip FOUND\0", Verdict.ENCRYPTED, None),
        (b"stream: Heuristics.Limits.Exceeded.MaxFiles FOUND\0", Verdict.UNSCANNED, None),
        (b"INSTREAM size limit exceeded. ERROR\0", Verdict.UNSCANNED, None),
    ],
)
def test_answers(answer: bytes, verdict: Verdict, name: str | None) -> None:
    said = clamd.read_answer(answer)
    assert said.verdict is verdict
    assert name is None or said.name == name


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closes the connection without an answer"),
        (b"stream: OK", "gives an answer that is not whole"),
        (b"stream: Test.Virus FOU", "gives an answer that is not whole"),
        (b"stream: Can't allocate memory ERROR\0", "answers with an error"),
        (b"UNKNOWN COMMAND\0", "gives no verdict"),
        (b"stream: OK\0stream: OK\0", "gives no verdict"),
        (b"stream: OK\nstream: Test.Virus FOUND\0", "gives no verdict"),
        (b"STREAM: OK\0", "gives no verdict"),
        (b"\xff\0", "gives no verdict"),
    ],
)
def test_what_is_no_answer_is_no_verdict(answer: bytes, why: str) -> None:
    with pytest.raises(EngineError) as caught:
        clamd.read_answer(answer)
    assert str(caught.value) == why


@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda one: b"stream: " + one + b"\0"))
def test_no_other_answer_is_clean(answer: bytes) -> None:
    try:
        said = clamd.read_answer(answer)
    except EngineError:
        return
    assert said.verdict is not Verdict.CLEAN or answer == b"stream: OK\0"


def test_the_octets_arrive_whole_in_pieces() -> None:
    seen = []

    def serve(link: socket.socket, _over: threading.Event) -> None:
        seen.append(stream(link))
        link.sendall(b"stream: OK\0")

    data = bytes(range(256)) * 1000
    assert scan(serve, data) == Scanned(Verdict.CLEAN)
    assert scan(serve, b"").verdict is Verdict.CLEAN
    assert seen == [data, b""]


def test_what_it_says_before_all_was_sent_counts() -> None:
    """As clamd does with what is larger than it takes."""

    def full(link: socket.socket, _over: threading.Event) -> None:
        link.recv(1 << 20)
        link.sendall(b"INSTREAM size limit exceeded. ERROR\0")

    def slamming(link: socket.socket, _over: threading.Event) -> None:
        link.recv(1)

    assert scan(full, bytes(16 << 20)).verdict is Verdict.UNSCANNED
    with pytest.raises(EngineError, match="cannot be asked: "):
        scan(slamming, bytes(16 << 20))


def test_silence_and_floods_end_in_time() -> None:
    def silent(link: socket.socket, over: threading.Event) -> None:
        stream(link)
        over.wait(10)

    def flooding(link: socket.socket, over: threading.Event) -> None:
        while not over.is_set():
            link.sendall(b"A" * 100_000)

    with pytest.raises(EngineError, match="gives no answer in time"):
        scan(silent, seconds=0.3)
    with pytest.raises(EngineError, match="gives an answer of more than"):
        scan(flooding)


def test_ping() -> None:
    assert ping(b"ClamAV 1.4.6\0") == ""
    assert ping(b"ClamAV 1.4.6/27400/Fri Nov 27 10:00:00 2026\0") == ""
    assert ping(b"PONG\0") == "does not speak the protocol of clamd"
    assert ping(b"") == "does not speak the protocol of clamd"
    with ContentFilter(scanning) as gone:
        address = gone.address
    down = clamd.Clamd(Server.parse(address)).ping(Deadline.after(5))
    assert down == "cannot be asked: Connection refused"
