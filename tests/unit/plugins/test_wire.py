"""What a plug-in may say: findings of its own, and nothing else gets through."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.findings import rows_of
from iems.model.finding import Finding
from milters.plugins.wire import MAX_REPLY, WireError, findings, frame, receive

BANDS = frozenset({"loud", "temperror"})
ROW = ["mine", "fail", "loud", "why", 1.5, [["size", "4"]]]


def test_findings_come_as_they_were_made() -> None:
    made = (
        Finding("mine", "fail", "loud", "why", 1.5, (("size", "4"), ("at", ""))),
        Finding("mine", "pass"),
    )
    assert findings(json.loads(json.dumps(rows_of(made))), "mine", BANDS) == made
    assert findings([], "mine", BANDS) == ()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "virus"),
        (0, None),
        (1, ""),
        (1, "Fail"),
        (1, "x" * 32),
        (1, 1),
        (2, "listed"),
        (2, None),
        (2, []),
        (3, None),
        (3, "x" * 401),
        (3, "a\r\nb"),
        (3, "\u00e4"),
        (4, "1"),
        (4, True),
        (4, float("nan")),
        (4, float("inf")),
        pytest.param(4, -(10**400), id="no float"),
        (5, None),
        (5, {}),
        (5, ["ab"]),
        (5, [["a"]]),
        (5, [["a", "b", "c"]]),
        (5, [["a", 1]]),
        (5, [["a", "\n"]]),
        (5, [["a", "b"]] * 21),
    ],
)
def test_what_is_no_finding_of_its_own(place: int, value: object) -> None:
    row = [*ROW]
    row[place] = value
    with pytest.raises(WireError):
        findings([row], "mine", BANDS)


@pytest.mark.parametrize("rows", [None, {}, "x", [1], [[]], [ROW[:5]], [[*ROW, 1]], [ROW] * 21])
def test_what_is_no_list_of_findings(rows: object) -> None:
    with pytest.raises(WireError):
        findings(rows, "mine", BANDS)


WORDS = st.sampled_from(["mine", "pass", "loud", "", "\n", "x" * 500]) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=20,
)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS, JSON, JSON).map(list)) | JSON)
def test_whatever_it_says_is_findings_or_an_error(rows: object) -> None:
    try:
        found = findings(rows, "mine", BANDS)
    except WireError:
        return
    assert all(one.check == "mine" and one.band in {"", *BANDS} for one in found)
    texts = [text for one in found for text in (one.reason, *sum(one.evidence, ()))]
    assert all(text.isascii() and text.isprintable() for text in texts)


def said(octets: bytes) -> dict[str, object]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(octets)
        theirs.shutdown(socket.SHUT_WR)
        return receive(ours, MAX_REPLY, lambda: None)


def framed(text: bytes) -> bytes:
    return struct.pack("!I", len(text)) + text


def test_a_frame() -> None:
    assert said(b"".join(frame({"a": 1}))) == {"a": 1}
    assert frame({"a": 1}, [b"xy", b""])[1:] == [b"xy", b""]


@pytest.mark.parametrize(
    "text", [b"", b"x", b"[]", b"1", b"\xff", b"[" * 60_000, b'{"a": NaN' + b" " * 9]
)
def test_what_is_no_frame(text: bytes) -> None:
    with pytest.raises(WireError):
        said(framed(text))


def test_a_frame_is_bounded_and_whole() -> None:
    with pytest.raises(WireError, match="and 65536 may be"):
        said(struct.pack("!I", MAX_REPLY + 1))
    for octets in (b"", b"\0\0", framed(b"{}")[:-1]):
        with pytest.raises(EOFError):
            said(octets)


@given(st.binary(max_size=40))
def test_octets_are_a_frame_or_an_error(octets: bytes) -> None:
    with suppress(WireError, EOFError):
        assert isinstance(said(octets), dict)
