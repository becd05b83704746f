"""Messages on their way: small ones in memory, large ones in a file without a name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.header import split_message
from iems.store.spool import HEADER_LIMIT, MEMORY_LIMIT, Incoming, Spool, TooLargeError
from tests.held import open_below

HEADER = b"From: a@b.test\r\nSubject: x\r\n"


def read(incoming: Incoming) -> tuple[bytes, bytes]:
    """Header and body as they come out, the body read twice."""
    message = incoming.finish()
    body = b"".join(message.body.pieces())
    assert b"".join(message.body.pieces()) == body
    assert message.body.size == len(body)
    assert message.size == len(message.header) + len(body)
    return message.header, body


@given(
    st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"a: b", b"x", b" ", b""]), max_size=20),
    st.lists(st.sampled_from([b"y" * 1000, b"\r\n", b"\n"]), max_size=5),
)
def test_header_and_body_are_those_of_the_codec(head: list[bytes], rest: list[bytes]) -> None:
    pieces = [*head, *rest]
    with Incoming(Path("/nonexistent"), 1 << 20) as incoming:
        for piece in pieces:
            incoming.write(piece)
        assert read(incoming) == split_message(b"".join(pieces))


@pytest.mark.parametrize("size", [0, MEMORY_LIMIT - 2, MEMORY_LIMIT - 1, MEMORY_LIMIT, 3_000_000])
@pytest.mark.parametrize("piece", [1000, 131072, 10_000_000])
def test_bodies_of_every_size(tmp_path: Path, size: int, piece: int) -> None:
    body = b"\r\n" + os.urandom(1000) * (size // 1000) + b"z" * (size % 1000)
    data = HEADER + body
    with Spool(tmp_path).receive(10_000_000) as incoming:
        for at in range(0, len(data), piece):
            incoming.write(data[at : at + piece])
        assert read(incoming) == (HEADER, body)
        assert not list(tmp_path.iterdir())


def test_a_large_body_is_not_kept_in_memory(tmp_path: Path) -> None:
    with Spool(tmp_path).receive(1 << 30) as incoming:
        incoming.write(HEADER + b"\r\n")
        for _piece in range(100):
            incoming.write(b"x" * 65536)
            assert sum(len(part) for part in incoming._parts) <= MEMORY_LIMIT
        assert max(len(piece) for piece in incoming.finish().body.pieces()) <= 128 << 10


def test_the_file_is_closed(tmp_path: Path) -> None:
    with Spool(tmp_path).receive(10_000_000) as incoming:
        incoming.write(HEADER + b"\r\n" + b"x" * 1_000_000)
        assert open_below(tmp_path) == 1
    assert open_below(tmp_path) == 0


def test_a_header_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    line = b"X: " + b"y" * 995 + b"\r\n"
    count = HEADER_LIMIT // len(line)
    with Spool(tmp_path).receive(10_000_000) as incoming:
        incoming.write(line * count)
        incoming.write(b"\r\nbody")
        assert read(incoming) == (line * count, b"\r\nbody")
    with Spool(tmp_path).receive(10_000_000) as incoming:
        incoming.write(line * count)
        with pytest.raises(TooLargeError):
            incoming.write(line + b"\r\nbody")
    with Spool(tmp_path).receive(10_000_000) as incoming:
        incoming.write(line * count)
        with pytest.raises(TooLargeError):
            incoming.write(line)


def test_a_message_over_the_limit_is_refused(tmp_path: Path) -> None:
    with Spool(tmp_path).receive(1000) as incoming:
        incoming.write(HEADER + b"\r\n" + b"x" * (1000 - len(HEADER) - 2))
        with pytest.raises(TooLargeError):
            incoming.write(b"x")


def test_a_disk_that_is_full_is_an_error_of_the_system(tmp_path: Path) -> None:
    missing = Spool(tmp_path / "missing")
    with missing.receive(10_000_000) as incoming, pytest.raises(OSError, match="missing"):
        incoming.write(HEADER + b"\r\n" + b"x" * 1_000_000)
