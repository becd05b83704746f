"""Tag lists: what is one, what is none, and the deletion of `b=`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.tags import TagError, parse, without


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (b"v=1; a=x", {b"v": b"1", b"a": b"x"}),
        (b" v = 1 ;\r\n\ta= x y ;", {b"v": b"1", b"a": b"x y"}),
        (b"b=QQ==;V=1;v=2", {b"b": b"QQ==", b"V": b"1", b"v": b"2"}),
        (b"p=", {b"p": b""}),
        ("d=bücher.example".encode(), {b"d": "bücher.example".encode()}),
    ],
)
def test_lists(text: bytes, tags: dict[bytes, bytes]) -> None:
    """White space around names and values counts for nothing, case does."""
    assert parse(text) == tags


@pytest.mark.parametrize(
    "text",
    [b"", b";", b"v=1;;a=x", b"v", b"=1", b"1v=x", b"v=1; v=1", b"v=\0", b"v-x=1", b"v=1;a=\x7f"],
)
def test_what_is_none(text: bytes) -> None:
    """Twice the same tag, no name, bytes that are not visible."""
    with pytest.raises(TagError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (b" v=1; b=A B\r\n C; h=from", b" v=1; b=; h=from"),
        (b" bh=b=; b = x", b" bh=b=; b ="),
        (b"bb=1;\r\n\tb\r\n =\r\n x;", b"bb=1;\r\n\tb\r\n =;"),
    ],
)
def test_a_value_is_deleted_and_not_a_byte_else(text: bytes, left: bytes) -> None:
    assert without(text, b"b") == left


@given(st.binary(max_size=200))
def test_any_bytes(text: bytes) -> None:
    """They are a list or TagError."""
    try:
        found = parse(text)
    except TagError:
        return
    assert all(name and b";" not in value for name, value in found.items())
