"""What octets are, whatever they are called."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
from pathlib import Path

import pytest

from iems.archive.kind import kind_of, kind_of_zip
from iems.archive.member import Budget, Member
from iems.mime.inside import files
from tests.unit.archive.test_archives import SAMPLES, tarred, zipped

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)


@pytest.mark.parametrize(
    ("octets", "word", "family"),
    [
        (b"", "empty", "unknown"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", "pe", "executable"),
        (b"MZ", "dos", "executable"),
        (Path(sys.executable).read_bytes(), "elf", "executable"),
        (b"\xca\xfe\xba\xbe\0\0\0\2", "mach-o", "executable"),
        (b"\xca\xfe\xba\xbe\0\0\0\x41", "java-class", "executable"),
        (b"\xcf\xfa\xed\xfe\7\0\0\1", "mach-o", "executable"),
        (b"L\0\0\0\1\x14\2\0\0\0\0\0", "lnk", "executable"),
        (b"#!/bin/sh\n", "script", "script"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "script", "script"),
        (b"@echo off\r\n", "script", "script"),
        ("\ufeff@echo off\r\n".encode("utf-16-le"), "script", "script"),
        (b'<?xml version="1.0"?><job id="a"><script>', "script", "script"),
        (b"<html:x><hta:application>", "text", "text"),
        (b"  <HTA:APPLICATION id=a>", "script", "script"),
        (b"REGEDIT4\r\n", "reg", "script"),
        (OLE, "ole", "document"),
        (OLE + "_VBA_PROJECT".encode("utf-16-le"), "office-macros", "macros"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "office-encrypted", "document"),
        (b"%PDF-1.7\n", "pdf", "document"),
        (b"junk\n" * 20 + b"%PDF-1.7\n", "pdf", "document"),
        (b"{\\rtf1", "rtf", "document"),
        (b"{\\rt\\x", "rtf", "document"),
        (gzip.compress(b"x", mtime=0), "gzip", "archive"),
        (bz2.compress(b"x"), "bzip2", "archive"),
        (lzma.compress(b"x"), "xz", "archive"),
        (lzma.compress(b"x", lzma.FORMAT_ALONE), "lzma", "archive"),
        (tarred(1, "a"), "tar", "archive"),
        ((SAMPLES / "lzma2.7z").read_bytes(), "7z", "archive"),
        (bytes(0x8001) + b"CD001", "iso", "archive"),
        (b"\x89PNG\r\n\x1a\n", "png", "image"),
        (b"\xff\xd8\xff\xe0", "jpeg", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp", "image"),
        (b"\0\0\0\x18ftypheic", "heic", "image"),
        (b"<svg xmlns=", "svg", "image"),
        (b'<?xml version="1.0"?>\n<!-- a --><svg onload=', "svg", "image"),
        (b"\n<!DOCTYPE html><html>", "html", "text"),
        (b"<!-- a --><script>x", "html", "text"),
        (b"<p>x", "html", "text"),
        (b'<?xml version="1.0"?><a:b/>', "xml", "text"),
        (b"<me@example.test> wrote:", "text", "text"),
        ("gr\u00fc\u00df".encode("latin-1"), "text", "text"),
        (b"\x01\x02\x03", "unknown", "unknown"),
    ],
)
def test_kinds(octets: bytes, word: str, family: str) -> None:
    assert (kind_of(octets).word, kind_of(octets).family) == (word, family)


@pytest.mark.parametrize(
    ("names", "types", "word", "family"),
    [
        ([], b"", "zip", "archive"),
        (["[Content_Types].xml", "word/document.xml"], b"", "ooxml", "document"),
        (["[Content_Types].xml", "word\\vbaProject.bin"], b"", "office-macros", "macros"),
        (["[Content_Types].xml", "a"], b"ms-office.vbaProject", "office-macros", "macros"),
        (["META-INF/MANIFEST.MF", "a.class"], b"", "jar", "executable"),
        (["META-INF/MANIFEST.MF", "AndroidManifest.xml"], b"", "jar", "executable"),
        (["AndroidManifest.xml"], b"", "apk", "executable"),
        (["META-INF/manifest.xml", "content.xml"], b"", "odf", "document"),
        (["META-INF/manifest.xml", "Basic/Standard/a.xml"], b"", "office-macros", "macros"),
    ],
)
def test_zips(names: list[str], types: bytes, word: str, family: str) -> None:
    found = kind_of_zip(tuple(names), types)
    assert (found.word, found.family) == (word, family)


def test_macros_that_are_called_otherwise_are_found_by_the_list_of_types() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types><Override ContentType="application/vnd.ms-office.vbaProject" PartName="/a"/>',
        )
    assert files(Member(("a.docx",), None, stream.getvalue()), Budget())[0].kind.word == (
        "office-macros"
    )


def test_a_zip_behind_something_else_is_looked_into() -> None:
    for before, word in ((b"\x89PNG\r\n\x1a\n", "png"), (b"\1\2\3", "zip"), (b"MZ", "dos")):
        octets = before + zipped(zipfile.ZIP_STORED, evil_exe=b"MZ")
        found = files(Member(("a",), None, octets), Budget())
        assert [one.kind.word for one in found] == [word, "dos"]
        assert found[1].names == ("evil.exe",)
