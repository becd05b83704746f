"""Removal of attachments beyond the golden cases: notices, bounds, any bytes."""

from __future__ import annotations

import base64
import math
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.edits.inventory import inventory
from iems.edits.rules import Rule
from iems.edits.strip import Removal, strip
from tests.fuzz.strips import stripped
from tests.unit.archive.test_archives import MZ, zipped
from tests.unit.mime.test_tree import EVIL, MIXED, WORDS

RULES = (Rule.of("programs", {"name": ["*.exe"]}),)
PROGRAMS = (Rule.of("programs", {"content": ["executable"]}),)
PACKED = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
MESSAGE = MIXED + b"\r\n--b\r\n" + EVIL + b"\r\n--b--\r\n"


def body(data: bytes, notice: str) -> bytes:
    """What stands in the place of the only part."""
    made = strip(data, Removal(RULES, notice), math.inf).of(data)
    return made.partition(b"inline\r\n\r\n")[2].partition(b"\r\n--b--")[0]


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        ("$name $type $size $rule $$", b"evil.exe application/x 2 programs $"),
        ("one\r\n${name}\n", b"one\r\nevil.exe"),
        ("\u00fc" + "$name" * 9, b"=C3=BCevil.exe"),
    ],
)
def test_notices(notice: str, text: bytes) -> None:
    assert body(MESSAGE, notice).startswith(text)


def test_names_that_could_mislead_are_shown_without_what_misleads() -> None:
    data = MESSAGE.replace(b"evil", b"ev\xe2\x80\xae\x07<il" + b"x" * 300)
    shown = body(data, "$name")
    assert b"\xe2" not in shown
    assert len(shown) < 300


def test_html_is_escaped() -> None:
    data = MESSAGE.replace(b"application/x", b"text/html").replace(b"evil", b"<script>")
    assert body(data, "a <b> $name\nc") == b"<p>a &lt;b&gt; &lt;script&gt;.exe<br>\r\nc</p>"


def test_no_time_for_archives_is_told_to_rules() -> None:
    data = b"Content-Type: a/b\r\n\r\n" + zipped(zipfile.ZIP_STORED, a=MZ)
    slow = Removal((Rule.of("slow", {"fault": ["too-slow"]}),))
    assert strip(data, slow, time.monotonic() - 1).splices
    assert not strip(data, slow, math.inf).splices


@pytest.mark.parametrize("start", [1, 51, 90])
def test_base64_in_many_pieces_is_read_to_its_end(start: int) -> None:
    octets = zipped(zipfile.ZIP_STORED, a_txt=b"x" * 100, b=MZ)
    pieces = (base64.b64encode(octets[at : at + 1]) for at in range(start))
    data = PACKED + b"".join(pieces) + base64.encodebytes(octets[start:])
    assert strip(data, Removal(PROGRAMS), math.inf).splices


def test_padding_that_some_readers_overlook() -> None:
    packed = base64.b64encode(zipped(zipfile.ZIP_STORED, b=MZ))
    data = PACKED + packed[:1] + b"=" + packed[1:]
    assert strip(data, Removal(PROGRAMS), math.inf).splices


def test_base64_in_too_many_pieces_is_malformed() -> None:
    edit = strip(PACKED + b"QQ==" * 100_000, Removal(PROGRAMS), math.inf)
    assert edit.rejected
    assert "too many pieces" in edit.reason


def test_more_files_in_texts_than_are_looked_at_are_malformed() -> None:
    """A few bytes each, and each of them costs a thousand."""
    block = b"begin 644 x.txt\n`\nend\n"
    edit = strip(b"\r\n" + block * 10_001, Removal(RULES), math.inf)
    assert edit.reason == "malformed: too many files in the text at 0"
    assert "too many files" in inventory(b"\r\n" + block * 10_001, math.inf).malformed
    assert not strip(b"\r\n" + block * 100, Removal(RULES), math.inf).rejected


@pytest.mark.parametrize("kind", ["delivery-status", "feedback-report", "rfc822", "x"])
def test_a_message_that_is_encoded_is_malformed_for_what_is_in_it(kind: str) -> None:
    """Whoever only looks finds it there, and no removal may say that there is nothing."""
    field = b"Content-Type: message/" + kind.encode() + b"\r\n"
    inner = base64.encodebytes(b"Content-Type: a/b; name=evil.exe\r\n\r\nMZ")
    data = field + b"Content-Transfer-Encoding: base64\r\n\r\n" + inner
    assert strip(data, Removal(RULES), math.inf).rejected
    others = Rule.of("others", {"name": ["*.bat"]})
    assert not strip(data, Removal((others,)), math.inf).rejected


@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=5), max_size=40).map(b"".join))
def test_any_bytes(data: bytes) -> None:
    stripped(data)


def test_a_large_message_with_many_parts_takes_no_time() -> None:
    part = b"--b\r\n" + EVIL + b"\r\n"
    data = MIXED + b"\r\n" + part * 3_000 + b"--b--\r\n"
    began = time.thread_time()
    edit = strip(data, Removal(RULES), math.inf)
    assert len(edit.splices) == 3_000
    assert time.thread_time() - began < 3
