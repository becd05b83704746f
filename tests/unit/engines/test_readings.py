"""What of a message is scanned beside the whole of it: what other readers would find."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.header import split_message
from iems.store.spool import MemoryBody, Spooled
from milters.engines.clamd import MAIL
from milters.engines.readings import TooManyError, others, whole
from milters.engines.scanner import EICAR, Octets
from tests import samples
from tests.samples import ARCHIVE, HEADER, TEXT, lines, mixed, part
from tests.unit.mime.test_block import runs


def spooled(message: bytes) -> Spooled:
    header, body = split_message(message)
    return Spooled(header, MemoryBody(body))


def found(message: bytes) -> list[bytes]:
    """What is scanned beside the message itself."""
    return [b"".join(one.pieces()) for one in others(spooled(message))]


def test_the_whole_begins_as_a_message_does_and_can_be_had_again() -> None:
    octets = whole(spooled(samples.HIDDEN))
    twice = {b"".join(octets.pieces()) for _time in range(2)}
    assert twice == {b"From iems\n" + samples.HIDDEN}
    assert octets.size == len(*twice)


@pytest.mark.parametrize("name", samples.DOUBTFUL)
def test_what_only_some_readers_find_is_scanned(name: str) -> None:
    seen = found(samples.DOUBTFUL[name])
    wanted = {ARCHIVE, EICAR}
    assert any(one in wanted or (one.startswith(MAIL) and lines(ARCHIVE) in one) for one in seen)
    assert len(set(seen)) == len(seen)


def test_nothing_is_scanned_twice_of_a_message_that_is_read_in_one_way() -> None:
    assert found(samples.ATTACHED) == []
    assert found(HEADER + b"\r\nhello\r\n") == []
    assert found(b"") == []


def test_both_readings_of_an_encoding_are_scanned() -> None:
    twice = b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"
    message = mixed(TEXT, b"Content-Type: a/b\r\n" + twice + b"\r\n" + lines(ARCHIVE))
    seen = found(message)
    assert ARCHIVE in seen
    assert lines(ARCHIVE) in seen


def test_quoted_printable_is_undone() -> None:
    body = b"".join(b"=%02X" % byte for byte in EICAR)
    inner = b"Content-Transfer-Encoding: quoted-printable\r\nContent-Type: a/b\r\n\r\n" + body
    assert EICAR in found(mixed(TEXT, inner, named="OTHER"))


def test_messages_within_encodings_are_read_as_such() -> None:
    """Level by level; what is deeper is told of, and was not looked at."""
    head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    message = samples.DOUBTFUL["a line that begins as a delimiter"]
    for _level in range(3):
        message = head + lines(message)
    assert ARCHIVE in found(HEADER + message)
    for _level in range(3):
        message = head + lines(message)
    with pytest.raises(TooManyError, match="a structure that is too deep"):
        found(HEADER + message)


def test_what_the_parser_leaves_is_told_of() -> None:
    deep = b"Content-Type: message/rfc822\r\n\r\n" * 100 + b"x"
    with pytest.raises(TooManyError, match="too deep, too wide or too long"):
        found(deep)
    wide = mixed(*[b"\r\nx"] * 11_000)
    with pytest.raises(TooManyError):
        found(wide)


def test_a_hostile_encoding_is_left() -> None:
    with pytest.raises(TooManyError, match="a structure that is too deep"):
        found(HEADER + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A=" * 150_000)


def test_a_file_in_a_text_is_scanned() -> None:
    assert EICAR in found(HEADER + b"\r\n" + samples.uuencoded(EICAR, "a.com"))


def test_many_readings_are_bounded() -> None:
    """Each part twice, and more of them than are looked at."""
    parts = [b"Content-Type: a/b\r\n\r\n%d" % number for number in range(300)]
    seen: list[Octets] = []
    with pytest.raises(TooManyError, match="more than 200 readings"):
        seen.extend(others(spooled(mixed(*parts, named="OTHER"))))
    assert len(seen) == 200


def test_memory_is_a_few_times_the_message() -> None:
    assert peak(spooled(mixed(TEXT, part(bytes(4 << 20)), named="OTHER"))) < 8


def test_runs_are_not_written_out_without_bound() -> None:
    """A small message would take all memory of the process; what is not looked at is told."""
    message = spooled(HEADER + b"\r\n" + runs(100_000))
    with pytest.raises(TooManyError, match="too long"):
        list(others(message))
    assert peak(message) < 10


def peak(message: Spooled) -> float:
    """The memory that its readings take, in times its size."""
    tracemalloc.start()
    try:
        with contextlib.suppress(TooManyError):
            for _octets in others(message):
                pass
        return tracemalloc.get_traced_memory()[1] / message.size
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda one: mixed(one, named="O")))
def test_no_bytes_raise_anything_else(message: bytes) -> None:
    with contextlib.suppress(TooManyError):
        found(message)
