"""Tricks with file names, each of which shows one thing and is another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.mime.name import alike, extensions, folded, is_double
from iems.mime.tree import parse
from tests.cost import costs_less

EXE = [
    "evil.exe",
    "EVIL.EXE",
    "evil.exe.",
    "evil.exe . .",
    "evil.exe\u00a0",
    "evil.exe\u3000.",
    "evil\uff0eexe",  # full width
    "evil\u2024exe",  # one-dot leader
    "evil\ufe52exe",  # small full stop
    "evil\u3002exe",  # ideographic
    "evil\uff61exe",
    "evil\ua4f8exe",  # Lisu
    "evil\u0660exe",  # the zero of Arabic is a dot
    "evil.\u0435\u0445\u0435",  # Cyrillic
    "evil.\u0415\u0425\u0415",
    "evil.\u0395\u03a7\u0395",  # Greek
    "evil.\uff45\uff58\uff45",
    "evil.\U0001d41e\U0001d431\U0001d41e",  # mathematical bold
    "evil.\u24d4\u24e7\u24d4",  # in circles
    "evil.e\u0301x\u0323e",  # accents
    "\u0435\u0308vil.\u0451xe",
    "evil.e\u200bx\u200de",  # zero width
    "evil.e\u00adxe",  # soft hyphen
    "evil.ex\ufe0fe",  # variation selector
    "evil.e\U000e0065xe",  # tag
    "evil.exe\u2060\ufeff",
    "evil\u202e.exe",  # right-to-left override
    "\u202devil.exe\u202c",
    "\u2066evil\u2069.exe",
    "evil.\u061cexe\u200f",
    "evil.ex\x01e",
    "evil.exe\x7f",
    "evil.exe::$DATA",
    "evil.exe::$data.",
    "C:\\Users\\me\\evil.exe",
    "../../evil.exe",
    "/a\uff0fevil.exe",
    "a.txt\u2215evil.exe",
]


@pytest.mark.parametrize("name", EXE)
def test_tricks(name: str) -> None:
    assert folded(name) == "evil.exe"
    assert extensions(name) == ("exe",)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", ()),
        ("README", ()),
        (".exe", ("exe",)),
        ("a.tar.gz", ("tar", "gz")),
        ("a. b .c", ("b", "c")),
        ("archive.d/file", ()),
        ("cod\u202efdp.exe", ("exe",)),
        ("evil.exe \u202e.fdp", ("exe", "fdp")),
        ("x." + "y" * 2000 + ".exe", ("exe",)),
        ("a.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}", ("{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}",)),
        ("\u0434\u043e\u043a.\u0442\u0445\u0442", ("txt",)),
        ("stra\u00dfe.PDF", ("pdf",)),
    ],
)
def test_extensions(name: str, found: tuple[str, ...]) -> None:
    assert extensions(name) == found


@pytest.mark.parametrize(
    "name",
    [
        "invoice.pdf.exe",
        "invoice.pdf" + " " * 200 + ".exe",
        "invoice.\uff30DF\u2024exe",
        "invoice.pdf\u3164\u3164.scr",
        "photo.jpg.lnk",
        "a.b.doc.js ",
    ],
)
def test_double(name: str) -> None:
    assert is_double(name)


@pytest.mark.parametrize(
    "name",
    ["", "a", "a.pdf", "a.exe", "a.tar.gz", "Mr. Smith.pdf", "v1.2.exe", "a.docx.pdf", "pdf.exe"],
)
def test_not_double(name: str) -> None:
    assert not is_double(name)


@given(st.text(max_size=50))
def test_folding_twice_is_folding_once(name: str) -> None:
    assert alike(alike(name)) == alike(name)
    assert folded(folded(name)) == folded(name)


def test_long_names_take_no_time() -> None:
    with costs_less(2):
        assert extensions("\ufdfa" * 1_000_000 + ".exe") == ("exe",)
        assert extensions("." * 1_000_000 + "a")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'"evil.exe\0.txt"', {"evil.exe .txt", "evil.exe.txt", "evil.exe"}),
        (b'"=?utf-8?q?evil.exe=00.txt?="', {"evil.exe .txt", "evil.exe.txt", "evil.exe"}),
        (b"utf-8''ev\xc2\x85il.exe", {"utf-8''ev il.exe", "utf-8''evil.exe"}),
        (b'"evil.e\x01xe"', {"evil.e xe", "evil.exe"}),
    ],
)
def test_names_with_control_characters_are_read_as_all_readers_do(
    value: bytes, found: set[str]
) -> None:
    part = parse(b"Content-Disposition: attachment; filename=" + value + b"\r\n\r\n")
    assert set(part.names) >= found
