"""Splices change their range and nothing else."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.mime.splice import Splice, SpliceError, apply

DATA = st.binary(max_size=40)


@given(DATA)
def test_without_splices_nothing_changes(data: bytes) -> None:
    assert apply(data, []) == data


@given(st.data())
def test_one_splice_changes_its_range_alone(draw: st.DataObject) -> None:
    data, new = draw.draw(DATA), draw.draw(DATA)
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, len(data)))
    result = apply(data, [Splice(start, end, new)])
    assert result == data[:start] + new + data[end:]


@given(st.lists(st.tuples(DATA, DATA, DATA), max_size=6), st.randoms())
def test_many_in_any_order(pieces: list[tuple[bytes, bytes, bytes]], random: object) -> None:
    """Of each piece the middle is replaced; the order of insertions at one place is kept."""
    data, splices = b"", []
    for before, old, new in pieces:
        data += b"|" + before
        splices.append(Splice(len(data), len(data) + len(old), new))
        data += old
    assert hasattr(random, "shuffle")
    random.shuffle(splices)
    wanted = b"".join(b"|" + before + new for before, _old, new in pieces)
    assert apply(data, splices) == wanted


def test_what_is_put_at_one_place_keeps_its_order() -> None:
    assert apply(b"ad", [Splice(1, 1, b"b"), Splice(1, 1, b"c")]) == b"abcd"
    assert apply(b"a_d", [Splice(1, 2, b"c"), Splice(1, 1, b"b")]) == b"abcd"


@pytest.mark.parametrize(
    "splices",
    [
        [Splice(0, 2), Splice(1, 3)],
        [Splice(0, 2), Splice(1, 1, b"x")],
        [Splice(2, 1)],
        [Splice(-1, 1)],
        [Splice(0, 5)],
    ],
)
def test_what_cannot_be_meant(splices: list[Splice]) -> None:
    with pytest.raises(SpliceError, match=r"bytes -?\d+ to \d+ cannot be replaced"):
        apply(b"abcd", splices)


def test_a_large_message_is_copied_once() -> None:
    data = bytes(8 << 20)
    tracemalloc.start()
    try:
        apply(data, [Splice(at, at + 1, b"new") for at in range(0, len(data), 1 << 16)])
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * len(data)
