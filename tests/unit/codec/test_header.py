"""Header blocks: whatever the bytes are, the fields joined are the block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.header import parse_header, split_message, unfold

pieces = st.sampled_from(
    [b"Subject: hi", b"\r\n", b"\n", b" folded", b"\t", b":", b"X-A :b", b"\xff", b"\x00", b"\r"]
)
blocks = st.lists(pieces, max_size=12).map(b"".join) | st.binary(max_size=60)


@given(blocks)
def test_fields_joined_are_the_block(raw: bytes) -> None:
    block = parse_header(raw)
    assert b"".join(field.raw for field in block.fields) == raw
    for field in block.fields:
        assert raw[field.start : field.start + len(field.raw)] == field.raw


@given(blocks)
def test_header_and_rest_joined_are_the_message(raw: bytes) -> None:
    header, rest = split_message(raw)
    assert header + rest == raw
    assert rest == b"" or rest.startswith((b"\n", b"\r\n"))
    assert b"\n\n" not in header
    assert b"\n\r\n" not in header


def test_names_occurrences_and_folding() -> None:
    block = parse_header(b"X-A: 1\r\nSubject: one\r\n two\r\nx-a : 2\r\nX-B\r\n")
    assert [field.value for field in block.named(b"x-A")] == [b" 1", b" 2"]
    assert [field.occurrence for field in block.named(b"X-A")] == [1, 2]
    assert unfold(block.named(b"subject")[0].value) == b"one two"
    assert block.fields[-1].name == b""


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (b"A: 1\r\n\r\nbody", b"A: 1\r\n"),
        (b"A: 1\n\nbody\n\nmore", b"A: 1\n"),
        (b"\r\nbody\r\n\r\nmore", b""),
        (b"\nbody", b""),
        (b"A: 1\r\n", b"A: 1\r\n"),
        (b"", b""),
    ],
)
def test_the_first_empty_line_ends_the_header(data: bytes, header: bytes) -> None:
    assert split_message(data) == (header, data[len(header) :])


def test_a_value_has_no_line_end_but_those_inside() -> None:
    (field,) = parse_header(b"X-A: 1\r\n\t2X\r\n").fields
    assert field.value == b" 1\r\n\t2X"
