"""What readers may save from a part, and all that is packed in it."""

from __future__ import annotations

import base64
import zipfile

import pytest

from iems.archive.member import Budget, Fault
from iems.mime.inside import Content, contents
from iems.mime.tree import parse
from tests.unit.archive.test_archives import HELLO, MZ, rar4, tarred, zipped
from tests.unit.mime.test_block import binhex, uuencoded, y_encoded
from tests.unit.mime.test_tnef import (
    DATA,
    PROPERTIES,
    SHORT,
    attribute,
    octets_of,
    properties,
    text,
    tnef,
)


def part(
    octets: bytes, kind: bytes = b"application/x", encoding: bytes = b"base64"
) -> list[Content]:
    """The contents of a message that is one part."""
    body = base64.encodebytes(octets) if encoding == b"base64" else octets
    head = b"Content-Type: %s; name=a\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (kind, encoding)
    data = head + body
    return list(contents(parse(data), data, Budget()))


def names(found: list[Content]) -> list[tuple[int, str, str]]:
    return [(one.depth, one.names[0], one.kind.word) for each in found for one in each.files]


def test_archives_in_archives() -> None:
    inner = tarred(1, "evil.exe")
    outer = zipped(zipfile.ZIP_DEFLATED, a_tar=inner, b_txt=HELLO)
    assert names(part(outer)) == [
        *((0, "a", "zip"), (1, "a.tar", "tar"), (2, "evil.exe", "dos"), (1, "b.txt", "text"))
    ]


@pytest.mark.parametrize("encoding", [b"7bit", b"base64"])
@pytest.mark.parametrize("write", [uuencoded, y_encoded, binhex])
def test_files_in_texts(write: type[bytes], encoding: bytes) -> None:
    text = b"before\n" + write(zipped(zipfile.ZIP_STORED, evil_exe=MZ)) + b"after\n"
    whole, block = part(text, b"text/plain", encoding)
    assert whole.block is None
    assert names([block]) == [(0, "evil.exe", "zip"), (1, "evil.exe", "dos")]
    assert block.block is not None
    assert text[block.block.end :] == b"after\n"
    assert not part(text, b"application/x", encoding)[1:]


def test_encodings_that_are_a_block() -> None:
    (_whole, block) = part(uuencoded(MZ), b"application/x", b"x-uuencode")
    assert names([block]) == [(0, "evil.exe", "dos")]


def test_a_block_without_its_end_is_told() -> None:
    (_whole, block) = part(uuencoded(MZ)[:-5], b"text/plain", b"7bit")
    assert block.files[0].faults == {Fault.BROKEN}


def test_winmail() -> None:
    inner = tnef(SHORT + attribute(DATA, MZ))
    stream = tnef(SHORT, attribute(PROPERTIES, properties(octets_of(0x0D, bytes(16) + inner))))
    assert names(part(stream)) == [
        *((0, "a", "tnef"), (1, "LONGNA~1.EXE", "tnef"), (2, "LONGNA~1.EXE", "dos"))
    ]
    (broken,) = part(stream[:-1])
    assert broken.files[0].faults == {Fault.BROKEN}


def test_names_end_at_a_nul_for_some() -> None:
    (one,) = part(rar4(b"evil.exe\0.txt", MZ))
    assert set(one.files[1].names) == {"evil.exe"}
    (one,) = part(zipped(zipfile.ZIP_STORED, evil_exe_txt=MZ).replace(b"exe.txt", b"exe\0txt"))
    assert set(one.files[1].names) == {"evil.exe\0txt", "evil.exe"}


def test_a_multipart_holds_nothing_itself() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--"
    assert not list(contents(parse(data), data, Budget()))


def test_office_with_a_password_is_encrypted() -> None:
    octets = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le")
    assert part(octets)[0].files[0].faults == {Fault.ENCRYPTED}


def test_one_budget_is_for_all_of_a_message() -> None:
    data = b"\r\n" + zipped(zipfile.ZIP_STORED, a=MZ, b=MZ)
    budget = Budget(members=3)
    (first,), (second,) = (list(contents(parse(data), data, budget)) for _time in range(2))
    assert not first.files[0].faults
    assert second.files[0].faults == {Fault.TOO_MANY}


def test_a_packed_file_with_very_many_names() -> None:
    """Each content of an attachment has all names of it: a square of the bytes."""
    names = (text(0x3707, f"{at}.txt") for at in range(2000))
    contents = (octets_of(0x102, b"%d" % at) for at in range(2000))
    stream = tnef(SHORT, attribute(PROPERTIES, properties(*names, *contents)))
    (found,) = part(stream)
    assert found.files[1].names[0] == "0.txt"
    assert found.files[1].names[-1] == "LONGNA~1.EXE"
    assert found.files[1].faults == {Fault.TOO_MANY}
    assert sum(len(one.names) for one in found.files) < 300_000
