"""Encoded words as mail programs show them, and as hostile senders write them."""

from __future__ import annotations

import base64
import encodings
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.encoded import decoded, text
from tests.cost import costs_less

_SECONDS = 5.0
"""What took 0.15 s of CPU at most, on a machine that may be busy; a quadratic one takes minutes."""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b" plain  words\r\n\tfolded ", "plain  words folded"),
        (b"=?utf-8?Q?Gr=C3=BC=C3=9Fe_dich=3F?=", "Grüße dich?"),
        (b"=?UTF-8?b?R3LDvMOfZQ==?= an =?utf-8?B?ZGljaA?=", "Grüße an dich"),
        (b"=?iso-8859-1*de?q?Gr=FC?=\n =?ISO-8859-1?Q?=DFe?=", "Grüße"),
        (b"=?utf-8?Q?=C3?= =?utf-8?B?vA==?=", "ü"),
        (b"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        (b"v=?utf-8?q?i?=agr=?utf-8?q?a?=", "viagra"),
        (b"=?utf-8?q?a b?=", "a b"),
        (b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
        (b"=?windows-1251?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"),
        (b"=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"),
        (b"=?shift_jis?B?grGC8YLJgr+CzQ==?=", "こんにちは"),
        (b"=?gb2312?B?xOO6ww==?=", "你好"),
        (b"=?big5?B?p0Gmbg==?=", "你好"),
        (b"=?euc-kr?B?vsiz58fPvLy/5A==?=", "안녕하세요"),
        (b"=?nobody-knows?q?G=C3=BC?=", "Gü"),
        (b"=?zlib_codec?q?a?= =?rot13?q?nop?= =?punycode?q?a-b?=", "anopa-b"),
        ("ü 8 bit".encode(), "ü 8 bit"),
        (b"\xfc latin", "\ufffd latin"),
        (b"=?utf-8?q?a=0D=0Ab=00=7F=C2=85c?=", "a  b   c"),
        (b"=?utf-8?q?open", "=?utf-8?q?open"),
        (b"=?utf-8?x?odd?= =?q?b?= =?utf-8?Q??=", "=?utf-8?x?odd?= =?q?b?= "),
        (b"=?utf-8?B?%%%?= =?utf-8?B?YQ?=", "a"),
        (b"=?utf-8?B?YWJjZ?=", "abc"),
        (b"=?utf-8?B?YW%I?=", "ab"),
        (b"=?utf-8?Q?a=?= =?utf-8?Q?=4?=", "a=4"),
    ],
)
def test_what_is_shown(value: bytes, shown: str) -> None:
    assert decoded(value) == shown


def test_raw_text_keeps_encoded_words() -> None:
    assert text(b" =?utf-8?q?a?=\n b\xff\x00 ") == "=?utf-8?q?a?= b\ufffd "


def test_no_charset_of_a_sender_is_looked_up() -> None:
    """Python keeps every name that it was ever asked for."""
    before = len(encodings._cache)
    for number in range(100):
        decoded(b"=?x-%d?q?a?=" % number)
    assert len(encodings._cache) - before < 5


@pytest.mark.parametrize(
    "unit",
    [
        *(b"=?utf-8?Q?=C3=A4?= ", b"=?a?q?a?=", b"=?utf-8?B?w6Q=?= ", b"=?a?q?x", b"=?", b"?="),
        *(b"=?" + b"a" * 64, b"\xff", b"\n ", b" ", b"?", b"=", b"=?utf-8?q?a?= =?koi8-r?q?b?= "),
        *(b"=?utf-7?Q?=FF+2AA-?= ", b"=?iso-2022-jp?Q?=1B=24=42=FF?= ", b"=?gb2312?B?gIGA?="),
    ],
)
def test_a_megabyte_is_read_in_a_moment(unit: bytes) -> None:
    value = (unit * ((1 << 20) // len(unit) + 1))[: 1 << 20]
    with costs_less(_SECONDS):
        decoded(value)


_CHARSETS = [b"utf-8", b"utf-7", b"utf-16", b"iso-2022-jp", b"hz-gb-2312", b"gb2312*x", b"none"]
_PAYLOADS = st.binary(max_size=20) | st.text("ABYWQw69+/=%_ -~{}", max_size=20).map(str.encode)
_WORDS = st.tuples(st.sampled_from(_CHARSETS), st.sampled_from([b"B", b"q"]), _PAYLOADS).map(
    lambda word: b"=?%s?%s?%s?=" % word
)


@given(
    st.lists(_WORDS | st.binary(max_size=9) | st.sampled_from([b" ", b"\n ", b"=?"]), max_size=9)
)
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    value = b"".join(pieces)
    for shown in (decoded(value), text(value)):
        shown.encode()
        assert all(letter.isprintable() or letter >= "\xa0" for letter in shown)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=50))
def test_what_was_encoded_comes_back(said: str) -> None:
    octets = said.encode()
    b = b"=?utf-8?B?" + base64.b64encode(octets) + b"?="
    q = b"=?utf-8?Q?" + quopri.encodestring(octets, header=True).replace(b"?", b"=3F") + b"?="
    assert decoded(b) == said
    assert decoded(q.replace(b"=\n", b"")) == said
