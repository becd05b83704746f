"""Files within texts: what they hold, where they stand, and where they end."""

from __future__ import annotations

import binascii
import re
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.mime.block import MOST, Block, Form, blocks
from tests.cost import costs_less

OCTETS = bytes(range(256)) + b"\x90\x90\0\0\0\0\0"


def uuencoded(octets: bytes, name: bytes = b"evil.exe", blank: bytes = b"`") -> bytes:
    """As uuencode(1) writes it."""
    lines = [octets[at : at + 45] for at in range(0, len(octets), 45)]
    body = b"".join(binascii.b2a_uu(line, backtick=blank == b"`") for line in lines)
    return b"begin 644 " + name + b"\n" + body + blank + b"\nend\n"


def y_encoded(octets: bytes, name: bytes = b"evil.exe") -> bytes:
    """As yEnc's draft says."""
    plain = bytes((one + 42) % 256 for one in octets)
    critical = b"\0\r\n="
    escaped = b"".join(
        b"=" + bytes([(one + 64) % 256]) if one in critical else bytes([one]) for one in plain
    )
    lines = b"\r\n".join(escaped[at : at + 128] for at in range(0, len(escaped), 128))
    size = b"%d" % len(octets)
    head = b"=ybegin line=128 size=" + size + b" name=" + name + b"\r\n"
    return head + lines + b"\r\n=yend size=" + size + b"\r\n"


LETTERS = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
TO_LETTERS = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", LETTERS
)


def binhex(octets: bytes, name: bytes = b"evil.exe") -> bytes:
    """As RFC 1741 says, with runs of zeros packed."""
    size = len(octets).to_bytes(4, "big")
    head = bytes([len(name)]) + name + b"\0" + b"????" * 2 + b"\0\0" + size + bytes(4)
    stream = head + b"\0\0" + octets + b"\0\0" + b"\0\0"
    packed = re.sub(
        rb"\x90|\0{5}", lambda one: b"\x90\0" if one[0] == b"\x90" else b"\0\x90\5", stream
    )
    text = binascii.b2a_base64(packed, newline=False).rstrip(b"=").translate(TO_LETTERS)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"(This file must be converted with BinHex 4.0)\n\n:" + lines + b":\n"


WRITERS: list[tuple[Form, Callable[[bytes], bytes]]] = [
    (Form.UUENCODE, uuencoded),
    (Form.YENC, y_encoded),
    (Form.BINHEX, binhex),
]


@pytest.mark.parametrize(("form", "write"), WRITERS)
def test_what_is_written_is_read(form: Form, write: Callable[[bytes], bytes]) -> None:
    written = write(OCTETS)
    text = b"before\n" + written + b"after\n"
    (block,) = blocks(text)
    assert block == Block(form, 7, 7 + len(written), b"evil.exe", OCTETS, True)


@given(octets=st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    for _form, write in WRITERS:
        (block,) = blocks(write(octets))
        assert (block.octets, block.whole) == (octets, True)


def test_several_and_those_at_the_start_and_the_end() -> None:
    text = uuencoded(b"one") + y_encoded(b"two") + binhex(b"three") + uuencoded(b"four")
    found = list(blocks(text.rstrip()))
    assert [one.octets for one in found] == [b"one", b"two", b"three", b"four"]
    assert [one.start for one in found[1:]] == [one.end for one in found[:-1]]
    assert found[-1].end == len(text) - 1


def test_what_stands_in_a_block_is_none() -> None:
    inner = b'begin 644 a.exe\n"35H`\n`\nend\n'
    (block,) = blocks(b"=ybegin name=a\n" + inner + b"=yend\n")
    assert block.form is Form.YENC


@pytest.mark.parametrize(
    ("text", "name", "octets", "whole"),
    [
        (b"begin-base64 644 a.exe\nTVo=\n====\n", b"a.exe", b"MZ", True),
        (b'begin 644 a.exe\n"35H`\n`\nend \n', b"a.exe", b"MZ", True),
        (b'begin  a.exe\n"35H`\n`\nend\n', b"a.exe", b"MZ", True),
        (b'begin 0644  a b.exe \r\n"35H`\r\n \r\nend', b"a b.exe", b"MZ", True),
        (b'begin 644 a.exe\n"35H\n\nend\n', b"a.exe", b"MZ", True),
        (b'begin 644 a.exe\n"35H`\nx\nend\n', b"a.exe", b"MZ", False),
        (b'begin 644 a.exe\n"35H`\n\nand so on\n', b"a.exe", b"MZ", False),
        (b'begin 644 a.exe\n"35H`', b"a.exe", b"MZ", False),
        (b'begin 644 a.exe\n"35HA\n!36AB\n`\nend\n', b"a.exe", b"MZM", True),
        (b"=ybegin name=a\nw\x84", b"a", b"MZ", False),
        (b"=ybegin part=1 line=1 size=2 name=a\n=ypart begin=1\nw\x84\n=yend\n", b"a", b"MZ", True),
        (b"=ybegin name=a\nw\x84\n=ybegin name=b", b"a", b"MZ", False),
        (b"(This file must be converted with BinHex 4.0)\n:!", b"", b"", False),
    ],
)
def test_odd_ones(text: bytes, name: bytes, octets: bytes, whole: bool) -> None:
    found = next(blocks(text))
    assert (found.name, found.octets, found.whole) == (name, octets, whole)


@pytest.mark.parametrize(
    "text",
    [
        b"begin 644 chapters of this book\nare here.\n",
        b'x begin 644 a.exe\n"35H`\n`\nend\n',
        b"begin with the end\nOK\n",
        b"=ybegin without one\n",
        b"(This file must be converted with BinHex 4.0)\nand not here\n",
    ],
)
def test_words_are_no_files(text: bytes) -> None:
    assert not list(blocks(text))


@pytest.mark.parametrize(
    "text",
    [
        b"begin 644 x\n" * 100_000,
        b"begin 644 x\nM\n" * 100_000,
        b"begin" * 200_000,
        b"=ybegin name=x\n" * 100_000,
        b"=ybegin " + b" " * 1_000_000,
        b"(This file must be converted with BinHex\n:" * 25_000,
        b"(This file must be converted with BinHex\n" + b"\n" * 1_000_000,
        b"begin 644 x\n" + b"\n" * 1_000_000,
        b"begin 644 x\n" + b"M" * 1_000_000,
    ],
)
def test_hostile_texts_take_no_time(text: bytes) -> None:
    with costs_less(5):
        assert all(len(block.octets) <= len(text) for block in blocks(text))


def runs(count: int) -> bytes:
    """A file in BinHex of so many times 255 octets, each in four letters."""
    text = binascii.b2a_base64(b"\0\x90\xff" * count, newline=False).translate(TO_LETTERS)
    head = binascii.b2a_base64(b"\1a\0" + b"?" * 10 + b"\x7f\xff\xff\xff" + bytes(7), newline=False)
    start = b"(This file must be converted with BinHex 4.0)\n:"
    return start + head.rstrip(b"=").translate(TO_LETTERS) + text + b":"


def test_runs_are_bounded() -> None:
    written = runs(500_000)
    (block,) = blocks(written)
    assert len(block.octets) <= MOST
    assert not block.whole
    (short,) = blocks(written, 1000)
    assert 900 < len(short.octets) <= 1000
    assert (short.cut, short.end) == (True, block.end)


@pytest.mark.parametrize(("most", "cut"), [(134, False), (133, True)])
def test_what_is_within_the_bound_is_whole(most: int, cut: bool) -> None:
    (block,) = blocks(binhex(b"x" * 100), most)
    assert block.cut is cut


def test_a_text_of_escapes_takes_a_few_times_its_size() -> None:
    """A hundred bytes for each of them would end the process that reads a large message."""
    text = b"=ybegin line=1 size=1 name=a\r\n" + b"=" * (1 << 20)
    tracemalloc.start()
    try:
        (block,) = blocks(text)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(block.octets) == 1 << 19
    assert peak < 12 * len(text) + (8 << 20)


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("run", range(1, 5))
def test_no_piece_ends_within_an_escape(shift: int, run: int) -> None:
    """Wherever a run of escapes stands across the end of a piece of 64 KiB."""
    before = b"a" * (65536 - shift)
    text = b"=ybegin line=1 size=1 name=a\r\n" + before + b"=" * run + b"J" + b"b" * 65536
    (block,) = blocks(text)
    escaped, last = divmod(run, 2)
    middle = bytes([(61 - 64 - 42) % 256]) * escaped + (b"\xe0" if last else b"\x20")
    shifted = [
        bytes([(one[0] - 42) % 256]) * size for one, size in ((b"a", len(before)), (b"b", 65536))
    ]
    assert block.octets == shifted[0] + middle + shifted[1]
