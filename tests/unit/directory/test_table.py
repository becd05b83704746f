"""CSV and LDIF: what is written is read again, line by line, and no more than is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.directory import ldif
from iems.directory.ldif import LONGEST, Fault, Record
from iems.directory.table import COLUMNS, Line, csv_row, read_csv, read_ldif

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower() not in {"dn", "changetype", "control", "version"}
)
ATTRIBUTES = st.dictionaries(NAMES, st.lists(st.binary(max_size=300), min_size=1), min_size=1)
CELLS = st.lists(
    st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1).filter(
        lambda text: text == text.strip()
    ),
    max_size=60,
)


@given(st.lists(st.tuples(st.binary(), ATTRIBUTES), max_size=4))
def test_ldif_is_read_as_it_was_written(
    entries: list[tuple[bytes, dict[str, list[bytes]]]],
) -> None:
    text = b"version: 1\n\n" + b"".join(ldif.write(name, values) for name, values in entries)
    assert all(len(line) <= 76 and line.isascii() for line in text.splitlines())
    found = [one for one in ldif.read(text.splitlines(keepends=True)) if isinstance(one, Record)]
    assert [(one.name, one.attributes) for one in found] == entries


@given(st.binary())
def test_ldif_of_whatever_is_no_more_than_a_fault(text: bytes) -> None:
    for one in ldif.read(text.splitlines(keepends=True)):
        assert isinstance(one, Record | Fault)


def test_ldif_of_other_hands() -> None:
    """Comments, folded lines, no blank after the colon, CRLF; the lines are those of the file."""
    text = (
        b"# made by hand\r\nversion: 1\r\n\r\n# a comment\r\n that goes on\r\nDN:uid=a\r\n"
        b"cn: one \r\n two\r\n# another\r\ncn:: w7w=\r\nempty:\r\n\r\n\r\ndn: uid=b\r\nsn: b\r\n"
    )
    first, second = ldif.read(text.splitlines(keepends=True))
    assert first == Record(6, b"uid=a", {"cn": [b"one two", "ü".encode()], "empty": [b""]})
    assert second == Record(14, b"uid=b", {"sn": [b"b"]})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"cn: x", "line 1 is no dn: line"),
        (b"dn: x\nnothing", "line 2 is no `attribute: value`"),
        (b"dn: x\nc n: y", "line 2 is no `attribute: value`"),
        (b"dn: x\nchangetype: modify", "line 2 has changetype"),
        (b"dn: x\ncn:< file:///etc/passwd", "line 2 names a URL"),
        (b"dn: x\ncn:: !", "line 2 is no base64"),
        (b"dn: x\ncn: " + b"y" * LONGEST, "more than"),
        (b"dn: x\n" + b"cn: y\n" * LONGEST, "more than"),
    ],
)
def test_fault_of_ldif(text: bytes, words: str) -> None:
    """It is told, and what comes after it is read."""
    fault, after = ldif.read([*text.splitlines(keepends=True), b"\n", b"\n", b"dn: good\n"])
    assert isinstance(fault, Fault)
    assert words in fault.text
    assert isinstance(after, Record)


@given(st.lists(st.tuples(CELLS.filter(bool), CELLS), max_size=5))
def test_csv_is_read_as_it_was_written(rows: list[tuple[list[str], list[str]]]) -> None:
    text = csv_row([["address"], ["targets"]]) + b"".join(csv_row(row) for row in rows)
    found = list(read_csv("alias", text.splitlines(keepends=True)))
    assert [one.values for one in found if isinstance(one, Line)] == [
        {"address": first, "targets": second} for first, second in rows
    ]


@pytest.mark.parametrize("kind", COLUMNS)
def test_nothing_is_read_ahead(kind: str) -> None:
    """The first row is there when its line is; the rest of the file may come next year."""
    needed = next(iter(COLUMNS[kind]))
    taken = []

    def lines() -> Iterator[bytes]:
        for number in itertools.count():
            taken.append(number)
            yield f"{needed}\n".encode() if number == 0 else f"x{number}\n".encode()

    rows = read_csv(kind, lines())
    for number in (1, 2, 3):
        row = next(rows)
        assert isinstance(row, Line)
        assert (row.number, len(taken)) == (number + 1, number + 1)


def test_a_quote_that_never_ends_holds_no_more_than_a_cell() -> None:
    """Of a file of any length; its beginning is named."""
    taken = []

    def lines() -> Iterator[bytes]:
        yield b"address\n"
        yield b'"\n'
        for number in range(1000):
            taken.append(number)
            yield b"x" * 10_000 + b"\n"

    fault = next(read_csv("alias", lines()))
    assert isinstance(fault, Fault)
    assert fault.line == 2
    assert len(taken) < 20


def test_a_byte_order_mark_and_blanks_of_a_spreadsheet() -> None:
    rows = read_csv("alias", ["\ufeffAddress, Targets \r\n".encode(), b" a@b.test , x@y.test \r\n"])
    assert [one.values for one in rows if isinstance(one, Line)] == [
        {"address": ["a@b.test"], "targets": ["x@y.test"]}
    ]


def test_a_password_is_as_it_is_typed() -> None:
    rows = read_csv("user", [b"address,password\n", b"a@b.test,  two blanks \n"])
    assert [one.values["password"] for one in rows if isinstance(one, Line)] == [["  two blanks "]]


def test_ldif_columns_are_attributes_in_any_case() -> None:
    text = b"dn: uid=a\nobjectclass: IEMSUSER\nIEMSADDRESS: a@b.test\ndescription: tall\n"
    [line] = read_ldif("user", text.splitlines(keepends=True))
    assert line == Line(1, {"address": ["a@b.test"]}, b"uid=a")
