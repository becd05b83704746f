"""Archives as their own programs write them, and what is wrong with those that nobody should."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.archive.kind import kind_of
from iems.archive.member import Budget, Fault, Member
from iems.archive.read import members

SAMPLES = Path(__file__).parent / "samples"
MZ, HELLO = b"MZ evil program", b"hello world\n"


def read(octets: bytes, *names: str, budget: Budget | None = None) -> list[Member | Fault]:
    return list(members(kind_of(octets), octets, names, budget or Budget()))


def listed(octets: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Of an archive with which nothing is wrong."""
    for one in read(octets):
        assert isinstance(one, Member)
        assert not one.faults
        yield one.names[0], one.octets


def faults(octets: bytes, budget: Budget | None = None) -> set[Fault]:
    found: set[Fault] = set()
    for one in read(octets, budget=budget):
        found |= one.faults if isinstance(one, Member) else {one}
    return found


def zipped(method: int = zipfile.ZIP_DEFLATED, /, **files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, octets in files.items():
            archive.writestr(name.replace("_", "."), octets)
    return stream.getvalue()


def tarred(form: int, *names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(MZ)
            archive.addfile(info, io.BytesIO(MZ))
    return stream.getvalue()


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_zip(method: int) -> None:
    found = listed(zipped(method, evil_exe=MZ, a_txt=HELLO, empty=b""))
    assert list(found) == [("evil.exe", MZ), ("a.txt", HELLO), ("empty", b"")]


def test_zip_behind_a_program_and_with_a_comment() -> None:
    program = b"MZ" + b"stub PK\3\4 " * 20
    stream = io.BytesIO(program)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("evil.exe", MZ)
        archive.comment = b"x" * 60_000
    assert list(listed(stream.getvalue())) == [("evil.exe", MZ)]


def test_zip_written_to_a_stream_has_sizes_behind() -> None:
    class Pipe(io.RawIOBase):
        """What cannot go back."""

        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("evil.exe", MZ)
        archive.writestr("a.txt", HELLO)
    assert list(listed(pipe.written)) == [("evil.exe", MZ), ("a.txt", HELLO)]


def test_zip64() -> None:
    octets = zipped(zipfile.ZIP_STORED, evil_exe=MZ)
    at, end = octets.index(b"PK\1\2"), octets.index(b"PK\5\6")
    size = len(MZ).to_bytes(8, "little")
    extra = b"\1\0\x10\0" + size + size
    entry = bytearray(octets[at:end] + extra)
    entry[20:28], entry[30:32] = b"\xff" * 8, len(extra).to_bytes(2, "little")
    where = len(entry).to_bytes(8, "little") + at.to_bytes(8, "little")
    end64 = b"PK\6\6" + bytes(36) + where
    locator = b"PK\6\7" + bytes(4) + (at + len(entry)).to_bytes(8, "little") + bytes(4)
    last = b"PK\5\6" + bytes(8) + b"\xff" * 8 + b"\0\0"
    assert list(listed(octets[:at] + bytes(entry) + end64 + locator + last)) == [("evil.exe", MZ)]


def test_zip_names() -> None:
    octets = zipped(b_exe=MZ).replace(b"b.exe", b"\x81.exe")
    (one,) = read(octets)
    assert isinstance(one, Member)
    assert one.names == ("\u00fc.exe", "\ufffd.exe")
    assert [name for name, _octets in listed(zipped(zipfile.ZIP_STORED, **{"\u20ac_exe": MZ}))] == [
        "\u20ac.exe"
    ]


@pytest.mark.parametrize(
    ("place", "old", "new", "names"),
    [
        ("local", b"evil.exe", b"good.txt", {"evil.exe", "good.txt"}),
        ("central", b"evil.exe", b"good.txt", {"evil.exe", "good.txt"}),
        ("local", b"\x08\0", b"\0\0", {"evil.exe"}),
    ],
)
def test_a_zip_with_two_listings_shows_both(
    place: str, old: bytes, new: bytes, names: set[str]
) -> None:
    octets = zipped(evil_exe=MZ * 20)
    at = octets.index(b"PK\1\2") if place == "central" else 0
    changed = octets[:at] + octets[at:].replace(old, new, 1)
    found = [one for one in read(changed) if isinstance(one, Member)]
    assert {name for one in found for name in one.names} == names
    assert len(found) == 2
    assert MZ * 20 in [one.octets for one in found]
    assert [one.faults & {Fault.LISTINGS_DIFFER} for one in found] == [{Fault.LISTINGS_DIFFER}] * 2


def test_a_zip_with_a_file_that_is_not_listed() -> None:
    first, second = zipped(a_txt=HELLO), zipped(evil_exe=MZ)
    hidden = second[: second.index(b"PK\1\2")]
    found = read(first[: first.index(b"PK\1\2")] + hidden + first[first.index(b"PK\1\2") :])
    (one,) = [one for one in found if isinstance(one, Member) and one.names == ("evil.exe",)]
    assert one == Member(("evil.exe",), len(MZ), MZ, frozenset({Fault.LISTINGS_DIFFER}))


def test_a_zip_in_a_zip_is_no_second_listing() -> None:
    inner = zipped(evil_exe=MZ)
    assert list(listed(zipped(zipfile.ZIP_STORED, a_zip=inner))) == [("a.zip", inner)]


def test_a_zip_with_two_directories_shows_both() -> None:
    first, second = zipped(a_txt=HELLO), zipped(evil_exe=MZ)
    both = first[:-2] + len(second).to_bytes(2, "little") + second
    found = read(both)
    names = {name for one in found if isinstance(one, Member) for name in one.names}
    assert names == {"a.txt", "evil.exe"}
    assert Fault.LISTINGS_DIFFER in found


def test_a_zip_that_breaks_off_gives_what_there_is() -> None:
    octets = zipped(zipfile.ZIP_STORED, a_txt=HELLO, evil_exe=MZ)
    found = read(octets[: octets.index(b"PK\1\2")])
    assert [one.octets for one in found if isinstance(one, Member)] == [HELLO, MZ]
    assert Fault.BROKEN in found


def test_an_encrypted_zip_is_told() -> None:
    octets = bytearray(zipped(evil_exe=MZ))
    octets[6] |= 1
    octets[octets.index(b"PK\1\2") + 8] |= 1
    (one,) = read(bytes(octets))
    assert one == Member(("evil.exe",), len(MZ), None, frozenset({Fault.ENCRYPTED}))


LONG = "x" * 90 + "/" + "y" * 120 + ".exe"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar(form: int) -> None:
    names = ["evil.exe", "d/a.txt", *([] if form == tarfile.USTAR_FORMAT else [LONG, "\u20ac.exe"])]
    found = read(tarred(form, *names))
    assert [one.names[0] for one in found if isinstance(one, Member)] == names
    assert {one.octets for one in found if isinstance(one, Member)} == {MZ}
    assert not faults(tarred(form, *names))


def test_a_tar_has_all_its_names() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("good.txt")
        info.pax_headers = {"path": "evil.exe"}
        archive.addfile(info, io.BytesIO())
    (one,) = read(stream.getvalue())
    assert isinstance(one, Member)
    assert set(one.names) == {"evil.exe", "good.txt"}


def test_what_stands_behind_the_end_of_a_tar_is_told() -> None:
    first = tarred(tarfile.GNU_FORMAT, "a.txt")
    found = read(first + tarred(tarfile.GNU_FORMAT, "evil.exe"))
    assert [one.faults for one in found if isinstance(one, Member)] == [
        frozenset(),
        {Fault.LISTINGS_DIFFER},
    ]


def record(kind: bytes, name: str, content: bytes) -> bytes:
    """A header of a tar and what is behind it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def told(octets: bytes) -> list[tuple[str, frozenset[Fault]]]:
    """Last name and faults of each file."""
    return [(one.names[-1], one.faults) for one in read(octets) if isinstance(one, Member)]


def test_a_size_of_pax_is_that_of_the_file_alone() -> None:
    size = record(tarfile.XHDTYPE, "x", b"18 size=000001024\n")
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        octets = size + record(kind, "x", b"12 path=a.b\n") + record(b"0", "evil.exe", b"x" * 1024)
        assert told(octets + bytes(1024)) == [("evil.exe", frozenset())]
        with tarfile.open(fileobj=io.BytesIO(octets + bytes(1024))) as archive:
            assert archive.getmembers()[0].size == 1024


def test_a_tar_by_the_sizes_of_pax_and_by_those_of_its_headers() -> None:
    hidden = record(b"0", "evil.exe", MZ)
    size = record(tarfile.XHDTYPE, "x", b"18 size=%09d\n" % len(hidden))
    octets = size + record(b"0", "a.txt", b"") + hidden + record(b"0", "b.txt", b"") + bytes(1024)
    odd = {Fault.LISTINGS_DIFFER}
    assert told(octets) == [("a.txt", odd), ("b.txt", frozenset()), ("evil.exe", odd)]


def test_tars_that_break_off() -> None:
    octets = tarred(tarfile.GNU_FORMAT, "a.txt", "evil.exe")
    assert faults(octets[:1600]) == {Fault.BROKEN}
    assert faults(octets[:1500]) == {Fault.BROKEN}
    assert faults(octets[:1024] + b"x" * 512) == {Fault.BROKEN}
    assert faults(octets[:124] + b"\xff" * 12 + octets[136:]) == set()  # is no tar by its sum


PACKERS = [
    ("a.txt.gz", gzip.compress(HELLO, mtime=0)),
    ("a.txt.bz2", bz2.compress(HELLO)),
    ("a.txt.xz", lzma.compress(HELLO)),
    ("a.txt.lzma", lzma.compress(HELLO, lzma.FORMAT_ALONE)),
]


@pytest.mark.parametrize(("name", "octets"), PACKERS)
def test_single_files(name: str, octets: bytes) -> None:
    assert read(octets, name) == [Member(("a.txt",), None, HELLO)]
    (broken,) = read(octets[:-3], name)
    assert isinstance(broken, Member)
    assert broken.faults == {Fault.BROKEN}


def test_a_gzip_has_a_name_of_its_own_and_several_streams() -> None:
    stream = io.BytesIO()
    with gzip.GzipFile("evil.exe", "wb", fileobj=stream) as file:
        file.write(MZ)
    (one,) = read(stream.getvalue() + gzip.compress(HELLO, mtime=0), "a.pdf.gz")
    assert one == Member(("evil.exe", "a.pdf"), None, MZ + HELLO)


@pytest.mark.parametrize("name", ["lzma2", "lzma", "copy", "bzip2", "deflate", "bcj"])
def test_7z(name: str) -> None:
    found = set(listed((SAMPLES / f"{name}.7z").read_bytes()))
    assert found >= {("evil.exe", MZ), ("d/a.txt", HELLO)}


def test_7z_with_the_filter_for_programs() -> None:
    calls = b"\xe8\0\0\0\0" * 20
    assert ("calls", calls) in set(listed((SAMPLES / "bcj.7z").read_bytes()))


def test_7z_that_cannot_be_read() -> None:
    encrypted = read((SAMPLES / "encrypted.7z").read_bytes())
    assert [one.names for one in encrypted if isinstance(one, Member)] == [
        ("d/a.txt",),
        ("evil.exe",),
    ]
    assert faults((SAMPLES / "encrypted.7z").read_bytes()) == {Fault.ENCRYPTED}
    assert read((SAMPLES / "encrypted-names.7z").read_bytes()) == [Fault.ENCRYPTED]
    (one,) = read((SAMPLES / "ppmd.7z").read_bytes())
    assert one == Member(("evil.exe",), 15, None, frozenset({Fault.UNREAD}))


def test_7z_that_is_broken() -> None:
    octets = (SAMPLES / "lzma2.7z").read_bytes()
    for length in range(6, len(octets)):
        assert faults(octets[:length]) == {Fault.BROKEN}


def test_7z_with_sums_of_what_is_packed_together() -> None:
    """Files that were packed alone have none of their own then."""
    packed = MZ + HELLO + b"x"
    copy = b"\1\1\0"
    folders = b"\7\x0b\2\0" + copy * 2 + b"\x0c" + bytes([len(MZ), len(HELLO) + 1])
    sums = b"\x0a\0\x80" + b"sum!" + b"\0"
    pack = b"\6\0\2\x09" + bytes([len(MZ), len(HELLO) + 1]) + b"\0"
    streams = b"\x08\x0d\1\2\x09" + bytes([len(HELLO)]) + b"\x0a\1" + b"sum!" * 2 + b"\0"
    names = b"\0" + "a\0b\0c\0".encode("utf-16-le")
    files = b"\5\3\x11" + bytes([len(names)]) + names + b"\0"
    header = b"\1\4" + pack + folders + sums + streams + b"\0" + files + b"\0"
    where = len(packed).to_bytes(8, "little") + len(header).to_bytes(8, "little")
    octets = b"7z\xbc\xaf\x27\x1c\0\4sum!" + where + b"sum!" + packed + header
    assert list(listed(octets)) == [("a", MZ), ("b", HELLO), ("c", b"x")]


def vint(number: int) -> bytes:
    low = number & 127
    return bytes([low]) if number < 128 else bytes([low | 128]) + vint(number >> 7)


def rar5(name: bytes, octets: bytes, *, method: int = 0, extra: bytes = b"") -> bytes:
    """By its description: a head, one file, an end."""
    file = vint(0) + vint(len(octets)) + vint(0) + vint(method << 7) + vint(0)
    flags = vint(3) + vint(len(extra)) if extra else vint(2)
    body = vint(2) + flags + vint(len(octets)) + file + vint(len(name)) + name + extra
    block = b"sum!" + vint(len(body)) + body + octets
    main, end = b"sum!" + vint(3) + b"\1\0\0", b"sum!" + vint(3) + b"\5\0\0"
    return b"Rar!\x1a\7\1\0" + main + block + end


def rar4(name: bytes, octets: bytes, *, method: int = 0x30, flags: int = 0, main: int = 0) -> bytes:
    """By its description: a head, one file, an end."""

    def block(kind: int, flags: int, rest: bytes) -> bytes:
        return (
            b"cc"
            + bytes([kind])
            + flags.to_bytes(2, "little")
            + ((7 + len(rest)).to_bytes(2, "little") + rest)
        )

    size = len(octets).to_bytes(4, "little")
    fields = size + size + b"\2" + b"crc!" + b"time" + bytes([29, method])
    file = fields + len(name).to_bytes(2, "little") + b"attr" + name
    blocks = block(0x73, main, bytes(6)) + block(0x74, 0x8000 | flags, file) + octets
    return b"Rar!\x1a\7\0" + blocks + block(0x7B, 0, b"")


def test_rar() -> None:
    assert list(listed(rar5("\u20ac.exe".encode(), MZ))) == [("\u20ac.exe", MZ)]
    assert list(listed(rar4(b"evil.exe", MZ))) == [("evil.exe", MZ)]


@pytest.mark.parametrize(
    "steps", [b"\x50\xac\xac.e\0xe", b"\x5c\xac\xac\2", b"\xac\xac\x20\xac\x20\2"]
)
def test_rar_names_in_unicode_are_told_by_their_difference(steps: bytes) -> None:
    (one,) = read(rar4(b"??.exe\0\x20" + steps, MZ, flags=0x200))
    assert isinstance(one, Member)
    assert one.names == ("\u20ac\u20ac.exe", "??.exe")


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (rar5(b"evil.exe", MZ, method=3), Fault.UNREAD),
        (rar4(b"evil.exe", MZ, method=0x33), Fault.UNREAD),
        (rar5(b"evil.exe", MZ, extra=b"\3\2\0\0" + b"\3\1\0\0"), Fault.ENCRYPTED),
        (rar4(b"evil.exe", MZ, flags=4), Fault.ENCRYPTED),
    ],
)
def test_rar_that_cannot_be_read_has_its_names(octets: bytes, fault: Fault) -> None:
    assert read(octets) == [Member(("evil.exe",), len(MZ), None, frozenset({fault}))]


def test_rar_without_a_listing() -> None:
    assert read(rar4(b"evil.exe", MZ, main=0x80)) == [Fault.ENCRYPTED]
    assert read(b"Rar!\x1a\7\1\0sum!" + vint(3) + b"\4\0\0") == [Fault.ENCRYPTED]
    assert Fault.BROKEN in faults(rar5(b"evil.exe", MZ)[:-12])
    assert Fault.BROKEN in faults(rar4(b"evil.exe", MZ)[:50])


@pytest.mark.parametrize("octets", [b"MSCF....", b"\x28\xb5\x2f\xfd....", b"\x60\xea...."])
def test_archives_that_are_not_read_are_told(octets: bytes) -> None:
    assert read(octets) == [Fault.UNREAD]
