"""The end of DATA and the lines of a connection, however the bytes are cut."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmtp.wire import DisconnectedError, LineTooLongError, SilentError, Unstuffer, Wire

# What smuggling is made of: line ends, halves of them, dots, and something between.
tokens = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b".", b"..", b"x", b"\r\n.", b"\0", b"\r\n..", b"\n.\n"]
    ),
    max_size=40,
).map(b"".join)
cuts = st.lists(st.integers(0, 120), max_size=12)


def expected(data: bytes) -> tuple[bytes, bytes] | None:
    """Text and rest by the definition of RFC 5321; None where the message has no end yet."""
    whole = b"\r\n" + data
    end = whole.find(b"\r\n.\r\n")
    if end < 0:
        return None
    text = re.sub(rb"\r\n\.", b"\r\n", whole[: end + 2])
    return text[2:], whole[end + 5 :]


def fed(data: bytes, at: list[int]) -> tuple[bytes, bytes | None]:
    """What the reader makes of the data when it comes in these pieces."""
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    unstuffer, text = Unstuffer(), b""
    for start, end in pairwise(edges):
        piece, rest = unstuffer.feed(data[start:end])
        text += piece
        if rest is not None:
            return text, rest + data[end:]
    return text, None


@given(tokens, tokens, cuts)
@example(b"", b"", [])
@example(b".", b"", [1, 2, 3])
@example(b"a\r\n..\r\n.", b"QUIT\r\n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_only_crlf_dot_crlf_ends_data_however_it_is_cut(
    text: bytes, after: bytes, at: list[int]
) -> None:
    data = text + b"\r\n.\r\n" + after
    assert fed(data, at) == fed(data, []) == expected(data)


@given(tokens, cuts)
def test_a_message_without_an_end_does_not_end(text: bytes, at: list[int]) -> None:
    whole = expected(text)
    assert fed(text, at)[1] == (whole[1] if whole else None)


@pytest.mark.parametrize(
    "form",
    [
        *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n"),
        *(b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\r.\r\n", b"\r\r\n.\r\r\n"),
    ],
)
def test_forms_of_smuggling_are_text(form: bytes) -> None:
    smuggled = b"a" + form + b"MAIL FROM:<x@y>\r\n"
    text, rest = fed(smuggled + b"\r\n.\r\nQUIT\r\n", [])
    assert text == smuggled.replace(b"\r\n.", b"\r\n") + b"\r\n"
    assert rest == b"QUIT\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Wire]]:
    """A socket, and the wire at its other end."""
    near, far = socket.socketpair()
    with near, far:
        yield far, Wire(near)


def test_lines_end_with_crlf_alone(ends: tuple[socket.socket, Wire]) -> None:
    far, wire = ends
    far.sendall(b"one\nstill\rone\r\ntwo\r\n")
    assert wire.line(100) == b"one\nstill\rone"
    assert wire.line(100) == b"two"
    assert wire.idle


def test_a_line_in_pieces(ends: tuple[socket.socket, Wire]) -> None:
    far, wire = ends
    far.sendall(b"N")
    far.sendall(b"OOP\r")
    far.sendall(b"\n\r\n")
    assert wire.line(4) == b"NOOP"
    assert wire.line(4) == b""


@pytest.mark.parametrize("length", [11, 12, 13, 5000, 300_000])
def test_a_line_too_long_is_gone_and_the_next_is_whole(
    ends: tuple[socket.socket, Wire], length: int
) -> None:
    far, wire = ends
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    far.sendall(b"x" * length + b"\r\nNOOP\r\n")
    with pytest.raises(LineTooLongError):
        wire.line(10)
    assert wire.line(10) == b"NOOP"


def test_replies_leave_together_when_there_is_nothing_left_to_read(
    ends: tuple[socket.socket, Wire],
) -> None:
    far, wire = ends
    far.sendall(b"a\r\nb\r\n")
    far.settimeout(0)
    wire.line(10)
    wire.send(b"1\r\n")
    wire.line(10)
    wire.send(b"2\r\n")
    with pytest.raises(BlockingIOError):
        far.recv(100)
    wire.patience(0.01)
    with pytest.raises(SilentError):
        wire.line(10)
    assert far.recv(100) == b"1\r\n2\r\n"


def test_what_follows_the_message_is_read_next(ends: tuple[socket.socket, Wire]) -> None:
    far, wire = ends
    far.sendall(b"DATA\r\nSubject: x\r\n\r\n..a\r\n.\r\nQUIT\r\n")
    assert wire.line(10) == b"DATA"
    assert b"".join(wire.text()) == b"Subject: x\r\n\r\n.a\r\n"
    assert wire.line(10) == b"QUIT"


def test_a_peer_that_is_gone(ends: tuple[socket.socket, Wire]) -> None:
    far, wire = ends
    far.sendall(b"half a li")
    far.close()
    with pytest.raises(DisconnectedError):
        wire.line(100)
    wire.send(b"250\r\n")
    with pytest.raises(DisconnectedError):
        wire.flush()


def test_a_peer_that_takes_nothing(ends: tuple[socket.socket, Wire]) -> None:
    _far, wire = ends
    wire.patience(0.01)
    wire.send(b"x" * 10_000_000)
    with pytest.raises(SilentError):
        wire.flush()
