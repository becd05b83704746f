"""Text from outside: printable ASCII only, and no more of it than was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.printable import LIMIT, printable


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("a ~b", 10, "a ~b"),
        ("a\r\n\x00\x7f\u00e9\x1b[0m", 20, "a??????[0m"),
        (b"a\xffb", 10, "a?b"),
        ("0123456789", 10, "0123456789"),
        ("0123456789x", 10, "0123456..."),
    ],
)
def test_shown(text: str | bytes, limit: int, shown: str) -> None:
    assert printable(text, limit) == shown


def test_the_limit_leaves_room_in_a_reply_line() -> None:
    assert len(printable("x" * 1000)) == LIMIT == 400


@given(st.text(max_size=50) | st.binary(max_size=50), st.integers(3, 60))
def test_whatever_it_is(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isascii()
    assert shown.isprintable()
