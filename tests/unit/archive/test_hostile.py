"""Archives that are made to cost: nothing is made larger, deeper or longer than is allowed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.archive.member import FREE, RATIO, Budget, Fault, Member
from iems.mime.inside import files
from tests.cost import costs_less
from tests.unit.archive.test_archives import MZ, SAMPLES, faults, rar4, rar5, read, tarred, zipped

ZEROS = bytes(20 << 20)


def central(name: bytes, packed: int, size: int, offset: int) -> bytes:
    """One entry of a directory, deflated."""
    fields = (20, 20, 0, 8, 0, 0)
    head = b"PK\1\2" + b"".join(one.to_bytes(2, "little") for one in fields) + b"crc!"
    sizes = packed.to_bytes(4, "little") + size.to_bytes(4, "little")
    return (
        head
        + sizes
        + len(name).to_bytes(2, "little")
        + bytes(12)
        + offset.to_bytes(4, "little")
        + name
    )


def overlapping(content: bytes, count: int) -> bytes:
    """A zip of which all entries are the same bytes."""
    name = len(b"a").to_bytes(2, "little") + bytes(2)
    packed = len(content).to_bytes(4, "little")
    local = b"PK\3\4" + b"\x14\0\0\0\x08\0" + bytes(4) + b"crc!" + packed + packed + name + b"a"
    entries = b"".join(central(b"a", len(content), len(content), 0) for _entry in range(count))
    start = len(local) + len(content)
    end = len(entries).to_bytes(4, "little") + start.to_bytes(4, "little") + b"\0\0"
    return local + content + entries + b"PK\5\6" + bytes(8) + end


@pytest.mark.parametrize(
    "octets",
    [
        zipped(zipfile.ZIP_DEFLATED, a=ZEROS),
        gzip.compress(ZEROS),
        bz2.compress(ZEROS),
        lzma.compress(ZEROS),
        lzma.compress(ZEROS, lzma.FORMAT_ALONE),
    ],
)
def test_a_file_that_grows_too_much_is_cut(octets: bytes) -> None:
    (one,) = read(octets)
    assert isinstance(one, Member)
    assert one.faults == {Fault.TOO_LARGE}
    assert len(one.octets or b"") <= max(FREE, RATIO * len(octets))


def test_all_together_are_bounded() -> None:
    octets = zipped(zipfile.ZIP_STORED, **{f"a{number}": bytes(1000) for number in range(20)})
    found = read(octets, budget=Budget(octets=10_000))
    whole = [one for one in found if isinstance(one, Member) and not one.faults]
    assert len(whole) == 10
    assert Fault.TOO_LARGE in found


def test_members_and_time_are_bounded() -> None:
    octets = zipped(zipfile.ZIP_STORED, **{f"a{number}": MZ for number in range(20)})
    found = read(octets, budget=Budget(members=5))
    assert len(found) == 6
    assert found[-1] == Fault.TOO_MANY
    assert faults(gzip.compress(b"") * 20, Budget(members=5)) == {Fault.TOO_MANY}
    assert read(octets, budget=Budget(until=time.monotonic() - 1)) == [Fault.TOO_SLOW]


def deep(levels: int) -> bytes:
    octets = MZ
    for _level in range(levels):
        octets = zipped(zipfile.ZIP_DEFLATED, a_zip=octets)
    return octets


def test_depth_is_bounded() -> None:
    found = files(Member(("a.zip",), None, deep(8)), Budget())
    assert found[-1].kind.word == "dos"
    assert not any(one.faults for one in found)
    found = files(Member(("a.zip",), None, deep(9)), Budget())
    assert found[-1].faults == {Fault.TOO_DEEP}


def test_what_is_asked_of_lzma_is_bounded() -> None:
    greedy = b"\x5d\xff\xff\xff\xff" + b"\xff" * 8 + bytes(100)
    assert faults(b"\x5d\0\0\0\x20" + greedy[5:]) == {Fault.BROKEN}
    octets = lzma.compress(MZ, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}])
    assert faults(octets) == {Fault.BROKEN}


@pytest.mark.parametrize(
    "octets",
    [
        overlapping(zlib.compress(bytes(1 << 20), 9)[2:-4], 20_000),
        overlapping(b"\0\0\0\xff\xff" * 200_000, 20_000),
        b"PK\3\4\x14\0\0\0\0\0" * 100_000 + b"PK\5\6" + bytes(18),
        b"PK\3\4\x14\0\x08\0\0\0" + bytes(16) + b"\1\0\0\0a" + (b"PK\3\4" + bytes(26)) * 50_000,
        (b"PK\3\4\x14\0\x08\0\0\0" + bytes(16) + b"\1\0\0\0a") * 50_000,
        b"PK\5\6" * 500_000,
        gzip.compress(b"") * 100_000,
        bz2.compress(b"") * 100_000,
        lzma.compress(b"") * 40_000,
        tarred(0, "a")[:1024] * 5_000,
        rar5(b"a", b"")[:-7] + rar5(b"a", b"")[15:-7] * 100_000,
        rar4(b"a", b"")[:-7] + rar4(b"a", b"")[20:-7] * 100_000,
        b"Rar!\x1a\7\1\0" + b"\x80" * 1_000_000,
    ],
)
def test_hostile_archives_take_no_time(octets: bytes) -> None:
    with costs_less(10):
        read(octets)


SEEDS = [
    zipped(zipfile.ZIP_DEFLATED, a_txt=b"hello", evil_exe=MZ),
    zipped(zipfile.ZIP_LZMA, evil_exe=MZ),
    tarred(1, "evil.exe", "x" * 200),
    tarred(2, "evil.exe", "x" * 200),
    rar5(b"evil.exe", MZ),
    rar4(b"evil.exe", MZ),
    gzip.compress(MZ),
    *(path.read_bytes() for path in sorted(SAMPLES.glob("*.7z"))),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An archive with some bytes that are others."""
    octets = bytearray(draw(st.sampled_from(SEEDS)))
    for _byte in range(draw(st.integers(1, 4))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets[: draw(st.integers(1, len(octets)))])


@given(damaged() | st.binary(max_size=200))
def test_no_bytes_raise(octets: bytes) -> None:
    assert all(one.depth <= 8 for one in files(Member((), None, octets), Budget()))
