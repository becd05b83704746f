"""What is in a winmail.dat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.mime.tnef import SIGNATURE, Attachment, is_tnef, read_tnef
from tests.cost import costs_less

RENDERING, TITLE, DATA, PROPERTIES, PAGE = 0x69002, 0x18010, 0x6800F, 0x69005, 0x69007


def little(number: int, size: int = 4) -> bytes:
    return number.to_bytes(size, "little")


def attribute(number: int, value: bytes, level: int = 2) -> bytes:
    """One of a stream, with the sum that nobody looks at."""
    return bytes([level]) + little(number) + little(len(value)) + value + b"\0\0"


def text(tag: int, value: str) -> bytes:
    """A property of Unicode text."""
    octets = value.encode("utf-16-le") + b"\0\0"
    return little(0x1F, 2) + little(tag, 2) + little(1) + padded(octets)


def octets_of(kind: int, value: bytes) -> bytes:
    """The property that holds what is attached."""
    return little(kind, 2) + little(0x3701, 2) + little(1) + padded(value)


def padded(value: bytes) -> bytes:
    return little(len(value)) + value + bytes(-len(value) % 4)


def properties(*found: bytes) -> bytes:
    return little(len(found)) + b"".join(found)


def tnef(*attributes: bytes) -> bytes:
    return SIGNATURE + b"\1\0" + b"".join(attributes)


NUMBERS = (
    little(3, 2) + little(0x0E20, 2) + little(5),
    little(0x40, 2) + little(0x3007, 2) + bytes(8),
    little(0x1003, 2) + little(0x6001, 2) + little(2) + bytes(8),
    little(0x1E, 2) + little(0x8001, 2) + bytes(20) + little(7) + little(1) + padded(b"x\0"),
    little(3, 2) + little(0x8002, 2) + bytes(16) + little(1) + padded(b"n\0a\0m\0") + little(1),
)
SHORT = attribute(RENDERING, bytes(14)) + attribute(TITLE, b"LONGNA~1.EXE\0")
LONG = attribute(PROPERTIES, properties(*NUMBERS, text(0x3707, "long name \u20ac.exe")))


def test_names_and_octets() -> None:
    stream = tnef(
        attribute(0x89006, little(0x10000), 1),
        SHORT + attribute(DATA, b"MZ") + LONG,
        attribute(RENDERING, bytes(14)) + attribute(DATA, b"two"),
    )
    assert is_tnef(stream)
    found = read_tnef(stream)
    assert found.whole
    assert found.attachments == (
        Attachment(("long name \u20ac.exe", "LONGNA~1.EXE"), b"MZ"),
        Attachment((), b"two"),
    )


def test_contents_that_readers_choose_from_are_all_there() -> None:
    both = attribute(PROPERTIES, properties(octets_of(0x102, b"other")))
    found = read_tnef(tnef(SHORT + attribute(DATA, b"one") + both))
    assert [one.octets for one in found.attachments] == [b"one", b"other"]
    assert {one.names for one in found.attachments} == {("LONGNA~1.EXE",)}


def test_a_message_in_it_is_a_stream_again() -> None:
    inner = tnef(SHORT + attribute(DATA, b"MZ"))
    stream = tnef(SHORT, attribute(PROPERTIES, properties(octets_of(0x0D, bytes(16) + inner))))
    (outer,) = read_tnef(stream).attachments
    assert outer.octets == inner
    assert read_tnef(outer.octets).attachments[0].octets == b"MZ"


def test_names_of_a_code_page() -> None:
    page = attribute(PAGE, little(1251) + bytes(4), 1)
    stream = tnef(
        page, attribute(RENDERING, b""), attribute(TITLE, "\u0441\u0447.exe".encode("cp1251"))
    )
    assert read_tnef(stream).attachments[0].names == ("\u0441\u0447.exe",)


def test_a_name_without_an_attachment_before_it_opens_one() -> None:
    (found,) = read_tnef(tnef(attribute(TITLE, b"a.exe\0"), attribute(DATA, b"MZ"))).attachments
    assert found == Attachment(("a.exe",), b"MZ")


def test_a_stream_that_breaks_off_gives_what_was_before() -> None:
    stream = tnef(SHORT + attribute(DATA, b"MZ") + LONG)
    for length in range(len(stream)):
        assert not read_tnef(stream[:length]).whole or length in ENDS
    assert read_tnef(stream[:-5]).attachments == (Attachment(("LONGNA~1.EXE",), b"MZ"),)


ENDS = {
    6,
    6 + len(attribute(RENDERING, bytes(14))),
    6 + len(SHORT),
    6 + len(SHORT + attribute(DATA, b"MZ")),
}


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    read_tnef(data)
    read_tnef(tnef(SHORT + attribute(PROPERTIES, data)))


@pytest.mark.parametrize(
    "stream",
    [
        tnef(*[attribute(RENDERING, b"")] * 50_000),
        tnef(attribute(PROPERTIES, little(1 << 31) + b"\1\0" * 200_000)),
        tnef(
            attribute(
                PROPERTIES,
                properties(little(0x101F, 2) + little(0x3707, 2) + little(1 << 31))
                + bytes(1_000_000),
            )
        ),
        tnef(attribute(DATA, bytes(1_000_000))) + b"\2",
    ],
)
def test_hostile_streams_take_no_time(stream: bytes) -> None:
    with costs_less(5):
        assert not read_tnef(stream).whole
