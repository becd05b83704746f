"""Which texts a message has, whatever its parts, encodings and charsets are."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.texts import texts
from tests.cost import costs_less

_MIB = 1 << 20
_SECONDS = 5.0
"""What takes 0.1 s of CPU at most, on a machine that may be busy; a quadratic one takes minutes."""

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n"
HTML = b"Content-Type: text/html\r\n"


def shown(header: bytes, body: bytes) -> list[tuple[str, bool]]:
    """The texts without the blanks around them."""
    return [(one.text.strip(), one.html) for one in texts(header, b"\r\n" + body)]


@pytest.mark.parametrize(
    ("header", "body", "text", "html"),
    [
        (b"", b"plain", "plain", False),
        (b"Content-Type: TEXT/Html\r\n", b"<p>", "<p>", True),
        (b"Content-Type:;x\r\n", b"nothing said", "nothing said", False),
        (HTML + b"Content-Transfer-Encoding: BASE64 \r\n", b"PGI+\r\nPHA-", "<b><p", True),
        (b"Content-Transfer-Encoding: base64\r\n", b"YQ==\r\nYg==", "ab", False),
        (b"Content-Transfer-Encoding: quoted-printable\r\n", b"a=3Db=\r\nc =", "a=bc", False),
        (b"Content-Type: text/plain; charset=koi8-r\r\n", b"\xf0", "П", False),
        (b'Content-Type: text/plain; charset="UTF-\\8"\r\n', b"\xc3\xbc", "ü", False),
        (b"Content-Type: text/plain; charset*=us-ascii'en'koi8-r\r\n", b"\xf0", "П", False),
        (b"Content-Type: text/plain; charset=nobody\r\n", b"\xc3\xbc\xff", "ü\ufffd", False),
        (b"Content-Type: text/plain\r\nContent-Type: text/html\r\n", b"first", "first", False),
    ],
)
def test_one_text(header: bytes, body: bytes, text: str, html: bool) -> None:
    assert shown(header, body) == [(text, html)]


def test_parts_in_their_order_and_inside_one_another() -> None:
    body = (
        b"before\r\n--b\r\n\r\none\r\n"
        b"--b\r\nContent-Type: image/png\r\n\r\nno text\r\n"
        b"--b\r\nContent-Type: multipart/alternative;\r\n boundary*0=c; boundary*1=d\r\n\r\n"
        b"--cd\n\ntwo\n--cd  \nContent-Type: text/html\n\nthree\n--cdx\n--cd--\nafter\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(b"Subject: s\r\nContent-Type: text/html\r\n\r\nfour")
        + b"\r\n--b--\r\nafter"
    )
    expected = [("one", False), ("two", False), ("three\n--cdx", True), ("four", True)]
    assert shown(MIXED, body) == expected
    assert shown(b'Content-Type: MULTIPART/x; boundary="b"\n', body.replace(b"\r", b"")) == expected


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        (MIXED, b"no delimiter", ["no delimiter"]),
        (
            b"Content-Type: multipart/mixed\r\n",
            b"--b\r\n\r\nno boundary",
            ["--b\r\n\r\nno boundary"],
        ),
        (MIXED, b"--b\r\n\r\nno end", ["no end"]),
        (MIXED, b"--b\r\n--b\r\n\r\none\r\n--b--", ["", "one"]),
        (MIXED, b"text --b\r\n\r\nin a line", ["text --b\r\n\r\nin a line"]),
    ],
)
def test_what_is_broken(header: bytes, body: bytes, expected: list[str]) -> None:
    assert [text for text, _html in shown(header, body)] == expected


def test_parts_and_levels_are_bounded() -> None:
    many = b"--b\r\n\r\nx\r\n" * 1000
    assert 100 < len(shown(MIXED, many)) <= 200
    deep = b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1)
        for n in range(100)
    )
    (left,) = shown(b"Content-Type: multipart/mixed; boundary=b0\r\n", deep)
    assert left[0].startswith("--b10\r\n")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (MIXED, b"\n--b" * (_MIB // 4)),
        (MIXED, b"\n--bx" * (_MIB // 5)),
        (MIXED, b"\n--b\n" + b"a:\n" * (_MIB // 3)),
        (MIXED, b"\n--b\nContent-Type: multipart/mixed; boundary=b\n\n" * (_MIB // 48)),
        (b"Content-Type: message/rfc822\n", b"\nContent-Type: message/rfc822\n" * (_MIB // 30)),
        (b"Content-Type: text/plain" + b';a="' * _MIB + b"\n", b""),
        (b"Content-Transfer-Encoding: base64\n", b"A=" * (_MIB // 2)),
        (b"Content-Transfer-Encoding: quoted-printable\n", b"= " * (_MIB // 2)),
        (b"Content-Type: text/plain; charset=utf-7\n", b"\x80" * _MIB),
    ],
)
def test_the_work_is_linear(header: bytes, body: bytes) -> None:
    with costs_less(_SECONDS):
        assert len(list(texts(header, body))) <= 200


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_bytes_raise(header: bytes, body: bytes) -> None:
    for head in (header, MIXED + header, HTML + header):
        list(texts(head, body))
