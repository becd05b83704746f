"""ICAP: what a server is asked, and what becomes of its answer, true or not."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.engines import icap
from milters.engines.engine import EngineError
from milters.engines.scanner import Octets, Scanned, Verdict
from tests.contentfilter import ContentFilter

CLEAN = b"ICAP/1.0 204 Unmodified\r\nConnection: close\r\n\r\n"
BLOCKED = b"Encapsulated: res-hdr=0, null-body=23\r\n\r\nHTTP/1.1 403 No\r\n\r\n"


def changed(*fields: bytes) -> bytes:
    return b"\r\n".join((b"ICAP/1.0 200 OK", *fields, BLOCKED))


def read_request(link: socket.socket) -> tuple[bytes, bytes]:
    """The head with the encapsulated headers, and the body out of its chunks."""
    with link.makefile("rb") as sent:
        head = b""
        while head.count(b"\r\n\r\n") < 3:
            head += sent.readline()
        body = b""
        while size := int(sent.readline(), 16):
            body += sent.read(size)
            assert sent.read(2) == b"\r\n"
        assert sent.read(2) == b"\r\n"
        return head, body


@pytest.mark.parametrize(
    ("answer", "verdict", "name"),
    [
        (CLEAN, Verdict.CLEAN, ""),
        (
            changed(b"X-Infection-Found: Type=0; Resolution=2; Threat=Test.Eicar;"),
            Verdict.INFECTED,
            "Test.Eicar",
        ),
        (
            changed(b"X-Infection-Found: Type=2; Resolution=2; Threat=Heuristics.Encrypted.Zip;"),
            Verdict.ENCRYPTED,
            "Heuristics.Encrypted.Zip",
        ),
        (changed(b"x-virus-id: A Name"), Verdict.INFECTED, "A Name"),
        (changed(b"X-Virus-ID:"), Verdict.INFECTED, "a virus without a name"),
        (changed(b"X-Violations-Found: 1", b"\t-"), Verdict.INFECTED, "1"),
        (b"ICAP/1.0 413 Too large\r\n\r\n", Verdict.UNSCANNED, "larger than the server takes"),
    ],
)
def test_answers(answer: bytes, verdict: Verdict, name: str) -> None:
    assert icap.read_answer(answer) == Scanned(verdict, name)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closes the connection without an answer"),
        (CLEAN[:-2], "gives an answer that is not whole"),
        (changed(), "gives no verdict"),
        (changed(b"X-Threat: Test.Eicar"), "gives no verdict"),
        (b"ICAP/1.0 404 Service not found\r\n\r\n", "answers with error 404"),
        (b"ICAP/1.0 500 Server error\r\n\r\n", "answers with error 500"),
        (b"ICAP/1.0 100 Continue\r\n\r\n", "answers with error 100"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "does not speak ICAP"),
        (b"\0\xff" * 500, "does not speak ICAP"),
    ],
)
def test_what_is_no_answer_is_no_verdict(answer: bytes, why: str) -> None:
    with pytest.raises(EngineError) as caught:
        icap.read_answer(answer)
    assert str(caught.value) == why


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda one: b"ICAP/1.0 2" + one))
def test_204_alone_is_clean(answer: bytes) -> None:
    try:
        said = icap.read_answer(answer)
    except EngineError:
        return
    assert said.verdict is not Verdict.CLEAN or answer.startswith(b"ICAP/1.")
    assert said.verdict is not Verdict.CLEAN or answer[8:13] == b" 204 "


def test_what_it_did_not_read_to_its_end_is_not_clean() -> None:
    """A server may answer before it has all, and close."""

    def hasty(link: socket.socket, _over: threading.Event) -> None:
        link.recv(1 << 10)
        link.sendall(CLEAN)

    with ContentFilter(hasty) as server:
        one = icap.Icap(Server.parse(server.address), "av")
        octets = Octets(32 << 20, lambda: iter([bytes(1 << 20)] * 32))
        with pytest.raises(EngineError):
            one.scan(octets, Deadline.after(5))


@pytest.mark.parametrize("address", ["inet", "unix"])
def test_the_octets_arrive_as_a_response(address: str) -> None:
    seen = []

    def serve(link: socket.socket, _over: threading.Event) -> None:
        seen.append(read_request(link))
        link.sendall(CLEAN)

    pieces = (b"", b"some octets\r\n", b"", bytes(range(256)) * 500)
    whole = b"".join(pieces)
    with ContentFilter(serve) as server:
        one = icap.Icap(Server.parse(server.address), "av?mode=simple")
        octets = Octets(len(whole), lambda: iter(pieces))
        assert one.scan(octets, Deadline.after(5)).verdict is Verdict.CLEAN
        ((head, body),) = seen
        host = server.address.removeprefix("inet:")
    if address == "unix":
        request = b"".join(icap.Icap(Server(path="/x"), "av")._request(Octets.of(b"x")))
        assert request.startswith(b"RESPMOD icap://localhost/av ICAP/1.0\r\nHost: localhost\r\n")
        return
    assert body == whole
    top, request, response, rest = head.split(b"\r\n\r\n")
    assert rest == b""
    assert top.startswith(f"RESPMOD icap://{host}/av?mode=simple ICAP/1.0\r\nHost: {host}".encode())
    assert b"\r\nAllow: 204\r\n" in top
    at, end = len(request) + 4, len(request) + len(response) + 8
    assert f"Encapsulated: req-hdr=0, res-hdr={at}, res-body={end}".encode() in top
    assert f"Content-Length: {len(whole)}".encode() in response
