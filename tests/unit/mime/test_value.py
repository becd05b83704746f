"""Values of MIME fields, as they should be and as they are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iems.mime.value import LIMIT, parse_value

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126))


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b" text/plain", "text/plain"),
        (b"TEXT/Plain;", "text/plain"),
        (b" multipart / mixed ; boundary=b", "multipart/mixed"),
        (b"\r\n\ttext/html;\r\n charset=utf-8", "text/html"),
        (b" (a (nested) comment) text/(;)plain", "text/plain"),
        (b" text/plain charset=utf-8", "text/plain"),
        (b" base64\r\n", "base64"),
        (b"", ""),
        (b";x=y", ""),
        (b" \xe4/\xff", "\xe4/\xff"),
    ],
)
def test_words(raw: bytes, word: str) -> None:
    assert parse_value(raw).word == word


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        # RFC 2045 section 5.1
        (b'a/b; n="x y"', [b"x y"]),
        (b"a/b; N=x", [b"x"]),
        (b'a/b; n = "x"', [b"x"]),
        (b'a/b; n="x;y=\xe4"', [b"x;y=\xe4"]),
        (b'a/b; m="n=z"; n=x', [b"x"]),
        (b"a/b; (n=z) n=x", [b"x"]),
        (b"a/b; n=x(1)", [b"x", b"x(1)"]),
        (b'a/b; n="x(1)"', [b"x(1)"]),
        # RFC 2231
        (b"a/b; n*=utf-8'en'%e2%82%ac", ["€".encode()]),
        (b"a/b; n*=iso-8859-1''%e4", ["ä".encode()]),
        (b"a/b; n*=%41''", [b""]),
        (b"a/b; n*1=y; n*0=x; n*2=z", [b"xyz"]),
        (b"a/b; n*0*=utf-8''%41%; n*1=%42; n*2*=%43", [b"A%%42C", b"A%BC"]),
        (b"a/b; n*0*=utf-8''%4; n*1*=1", [b"%41", b"A"]),
        (b"a/b; n=y; n*=utf-8''x", [b"x", b"y"]),
        # what else there is
        (b"a/b; n=x; n=y; n=x", [b"x", b"y"]),
        (b"a/b; n=my file.doc; m=z", [b"my file.doc", b"my"]),
        (b"a/b; n=my file.doc m=z", [b"my file.doc", b"my"]),
        (b"a/b n=x", [b"x"]),
        (b"n=x", [b"x"]),
        (b'a/b; m="y" n="x"', [b"x"]),
        (b'a/b; n="x', [b"x"]),
        (b'a/b; n="x; m=y', [b"x; m=y", b"x"]),
        (b'a/b; n="x"y', [b"x", b"xy"]),
        (b'a/b; n="x\\"y"', [b'x"y', b'x\\"y']),
        (b'a/b; n="c:\\x"', [b"c:x", b"c:\\x"]),
        (b"a/b; n=", [b""]),
        (b"a/b; n", []),
    ],
)
def test_parameters(raw: bytes, values: list[bytes]) -> None:
    assert list(parse_value(raw).all("n")) == values


@given(st.binary())
@example(b";n*99999=x;n*-1=y;n**=z;*=a;n*0*='''")
def test_no_bytes_raise(raw: bytes) -> None:
    parse_value(raw)


@given(TEXT)
def test_what_is_quoted_is_read_again(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    value = parse_value(f'a/b; n="{quoted}"; m=y'.encode())
    assert value.all("n")[0] == text.encode()
    assert value.all("m") == (b"y",)


def test_what_is_too_long_is_not_read() -> None:
    value = parse_value(b"a/b; n=" + b"x" * 2 * LIMIT + b"; m=y")
    assert len(value.all("n")[0]) < LIMIT
    assert value.all("m") == ()
