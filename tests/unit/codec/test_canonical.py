"""Canonical bodies in pieces are those of the whole, in bounded memory and time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.canonical import body, relaxed_field
from iems.codec.header import parse_header
from tests.cost import costs_less
from tests.signing import body_form, field_form

_ODD = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b" ", b"\t", b"a", b"b  c", b"\r\n\r\n", b"\xe4", b"."]
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("given_", "simple", "relaxed"),
    [
        (b"", b"\r\n", b""),
        (b"\r\n", b"\r\n", b""),
        (b"\r\n\r\n\r\n", b"\r\n", b""),
        (b" \r\n\t\r\n", b" \r\n\t\r\n", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),
        (b"no end", b"no end\r\n", b"no end\r\n"),
        (b"\r\n\r\ntext\r\n", b"\r\n\r\ntext\r\n", b"\r\n\r\ntext\r\n"),
        (b"a\r\r\n\n\r\n", b"a\r\r\n\n\r\n", b"a\r\r\n\n\r\n"),
        (b"a\r\n\r", b"a\r\n\r\r\n", b"a\r\n\r\r\n"),
    ],
)
def test_bodies(given_: bytes, simple: bytes, relaxed: bytes) -> None:
    """The examples of RFC 6376 section 3.4.5 (its ` C ` stands in the body, too), and odd ones."""
    assert b"".join(body([given_], relaxed=False)) == simple
    assert b"".join(body([given_], relaxed=True)) == relaxed


@given(words=_ODD, cuts=st.lists(st.integers(1, 5), min_size=1, max_size=10), relaxed=st.booleans())
def test_pieces_make_no_difference(words: list[bytes], cuts: list[int], relaxed: bool) -> None:
    """Wherever the bytes are cut, the result is that of the whole."""
    whole = b"".join(words)
    assert b"".join(body(_cut(whole, cuts), relaxed=relaxed)) == body_form(whole, relaxed=relaxed)


def _cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at, turn = 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


@pytest.mark.parametrize(
    "piece",
    [
        b"\r\n" * 65536,
        b"\n" * 131072,
        b"\r" * 131072,
        b" " * 131072,
        b" \t" * 65536,
        b" \r" * 65536,
    ],
    ids=["lines", "lf", "cr", "blanks", "tabs", "blank and cr"],
)
@pytest.mark.parametrize("relaxed", [False, True])
def test_hostile_bodies_cost_no_more_than_others(piece: bytes, relaxed: bool) -> None:
    """4 MiB of what has to be held back, shortened or looked at twice, and then a letter."""
    with costs_less(2.0):
        size = sum(len(one) for one in body([*[piece] * 32, b"x\n"], relaxed=relaxed))
        assert size <= 32 * len(piece) + 4


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (b"A: X\r\n", b"a:X\r\n"),
        (b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"X: caf\xe9 \r y\r\n", b"x:caf\xe9 \r y\r\n"),
        (b"X: colon: kept\r\n", b"x:colon: kept\r\n"),
    ],
)
def test_relaxed_fields(raw: bytes, form: bytes) -> None:
    """The examples of RFC 6376 section 3.4.5, and odd ones."""
    (field,) = parse_header(raw).fields
    assert relaxed_field(field) == form


@given(value=st.lists(st.sampled_from([b"\r\n ", b"\t", b" ", b"a", b"\xff", b":"]), max_size=20))
def test_relaxed_fields_are_those_of_the_reference(value: list[bytes]) -> None:
    """Whatever is folded and blank."""
    raw = b"Name:" + b"".join(value) + b"\r\n"
    (field,) = parse_header(raw).fields
    assert relaxed_field(field) == field_form(raw, relaxed=True)
