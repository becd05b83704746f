"""What the milter tells Postfix of its edits makes the edited message of the one that it has."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iems.codec.header import parse_header
from iems.edits.edit import Edit, EditError
from iems.mime.splice import Splice
from iems.store.spool import MemoryBody
from milters import draft
from milters.draft import Draft
from milters.reply import ChangeHeader, InsertHeader, ReplaceBody
from tests.fakemta.chain import as_postfix
from tests.fakemta.message import HeaderField, Message

NAMES = (b"Subject", b"SUBJECT", b"Content-Type", b"Received", b"X-Odd ")
VALUES = (
    b" one",
    b" two",
    b"",
    b" three\r\n\tfolded",
    b"bare",
    b"\t tab  ",
    b" gr\xc3\xbc\xc3\x9fe",
)
FIELDS = [b"%s:%s\r\n" % pair for pair in product(NAMES, VALUES)]
BODIES = (b"", b"text\r\n", b"\r\n\r\n", b".\r\nlong\rand odd\r\n")
headers = st.lists(st.sampled_from(FIELDS), max_size=7).map(b"".join)


def of(header: bytes, body: bytes) -> Draft:
    block = parse_header(header)
    return Draft(block, block, MemoryBody(b"\r\n" + body))


def rewritten(before: Draft, header: bytes, body: bytes) -> Draft:
    """With another message in the place of all of it."""
    return before.edited(Edit((Splice(0, len(before.data), header + b"\r\n" + body),)))


def postfix(before: Draft, after: Draft, body: bytes) -> tuple[bytes, bytes]:
    """Header and body once Postfix has applied the difference, without its own Received."""
    held = Message("a@example.test", body=[body])
    held.header = [
        HeaderField(name, value)
        for one in before.header.fields
        for name, _colon, value in [one.raw[:-2].replace(b"\r\n", b"\n").partition(b":")]
    ]
    held.received(b"by us")
    held.apply(tuple(as_postfix(one) for one in after.difference()))
    assert held.header[0].own
    rows = (one.raw.replace(b"\n", b"\r\n") + b"\r\n" for one in held.header[1:])
    return b"".join(rows), b"".join(held.body)


@given(headers, headers, st.sampled_from(BODIES), st.sampled_from(BODIES))
@example(FIELDS[0] * 2 + FIELDS[8], FIELDS[8] + FIELDS[0], b"", b"")
@example(b"".join(FIELDS[:3]), b"".join(FIELDS[2::-1]), b"", b"")
def test_postfix_has_the_edited_message_in_the_end(
    old: bytes, new: bytes, body: bytes, content: bytes
) -> None:
    before = of(old, body)
    after = rewritten(before, new, content)
    assert postfix(before, after, body) == (after.header.raw, content)
    assert after.data == after.header.raw + b"\r\n" + content
    # What it is now is what was asked for, but for blanks around a colon.
    wanted = [(one.key, one.value.lstrip(b" ")) for one in parse_header(new).fields]
    assert [(one.key, one.value.lstrip(b" ")) for one in after.header.fields] == wanted


@given(headers, st.lists(headers, min_size=2, max_size=3))
def test_edits_follow_each_other_and_are_told_once(old: bytes, steps: list[bytes]) -> None:
    before = after = of(old, b"text\r\n")
    for header in steps:
        after = rewritten(after, header, after.data.partition(b"\r\n\r\n")[2] + b"more\r\n")
    told = after.difference()
    assert [one for one in told if isinstance(one, ReplaceBody)] == list(told[-1:])
    assert postfix(before, after, b"text\r\n")[0] == after.header.raw


@given(headers, st.data())
def test_fields_are_taken_out_by_where_they_stand(old: bytes, data: st.DataObject) -> None:
    before = of(old, b"")
    gone = [one for one in before.header.fields if data.draw(st.booleans())]
    after = before.without(gone)
    left = [one.raw for one in before.header.fields if one not in gone]
    assert postfix(before, after, b"")[0] == after.header.raw == b"".join(left)
    assert all(isinstance(one, ChangeHeader) and one.value is None for one in after.difference())
    assert after.difference() == () or gone


def test_only_what_differs_is_told() -> None:
    before = of(b"From: a\r\nContent-Type: text/plain\r\nSubject: x\r\n", b"text\r\n")
    assert before.difference() == ()
    assert before.edited(Edit()) is before
    new = b"From: a\r\nContent-Type: text/html\r\nX-New: yes\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
    assert rewritten(before, new, b"text\r\n").difference() == (
        ChangeHeader(b"Content-Type", 1, b" text/html"),
        InsertHeader(3, b"X-New", b" yes"),
        ChangeHeader(b"MIME-Version", 1, b" 1.0"),
        ReplaceBody(b"text\r\n"),
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"Subject: gr\xfc\xdfe", "its new Subject is not UTF-8"),
        (b"Subject: a\0b", "no field"),
        (b"no colon", "no field"),
    ],
)
def test_what_libmilter_cannot_carry_is_no_edit(line: bytes, why: str) -> None:
    before = of(b"From: a\r\n", b"text\r\n")
    with pytest.raises(EditError, match=why):
        rewritten(before, b"From: a\r\n" + line + b"\r\n", b"")
    odd = of(b"From: a\r\n" + line + b"\r\n", b"text\r\n")
    assert rewritten(odd, odd.header.raw, b"other\r\n").difference() == (ReplaceBody(b"other\r\n"),)


def test_a_header_of_ten_thousand_fields_is_compared_at_once() -> None:
    old = b"".join(b"X-%d: x\r\n" % at for at in range(10_000))
    new = b"".join(b"X-%d: x\r\n" % at for at in reversed(range(10_000)))
    before = of(old, b"")
    assert rewritten(before, new, b"").header.raw == new


def test_a_large_message_is_not_edited(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(b"From: a\r\n", b"text\r\n")
    assert before.fault == ""
    monkeypatch.setattr(draft, "LIMIT", 10)
    large = of(b"From: a\r\n", b"text\r\n")
    assert large.fault == "it has more than 10 bytes"
    with pytest.raises(EditError, match="more than 10 bytes"):
        _ = large.data
    missing = Draft(large.header, large.header, None)
    assert missing.fault == "its body could not be kept"
    assert list(missing.content()) == []
