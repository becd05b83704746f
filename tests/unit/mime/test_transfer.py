"""Transfer encodings, read as mail programs do and written as RFC 2045 has them."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.mime.transfer import (
    TransferError,
    decode,
    encode,
    fitting,
    holds,
    line_end,
    quoted_lines,
)
from tests.cost import costs_less

END = st.sampled_from([b"\r\n", b"\n"])
WORDS = [
    b"a",
    b" ",
    b"\t",
    b".",
    b"=",
    b"\r",
    b"\n",
    b"\r\n",
    b"\xfc",
    b"\0",
    b"x" * 75,
    b"x" * 998,
]
OCTETS = st.lists(st.sampled_from(WORDS) | st.binary(max_size=3), max_size=30).map(b"".join)
ENCODING = st.sampled_from(["base64", "quoted-printable"])


@given(ENCODING, OCTETS, END)
def test_what_is_encoded_is_decoded(encoding: str, octets: bytes, end: bytes) -> None:
    body = encode(encoding, octets, end)
    assert decode(encoding, body) == octets
    assert holds("7bit", body, end)
    assert all(len(line) <= 76 for line in body.split(end))
    assert not any(line.endswith((b" ", b"\t")) for line in body.split(end))


@given(OCTETS, END)
def test_python_reads_what_is_written(octets: bytes, end: bytes) -> None:
    assert base64.b64decode(encode("base64", octets, end)) == octets
    assert quopri.decodestring(encode("quoted-printable", octets, end)) == octets


@given(OCTETS)
def test_what_python_writes_is_read(octets: bytes) -> None:
    assert decode("base64", base64.encodebytes(octets)) == octets
    text = octets.replace(b"\r", b"")
    assert decode("quoted-printable", quopri.encodestring(text)) == text


@given(st.sampled_from(["7bit", "8bit", "binary"]), OCTETS, END)
def test_plain_is_as_it_stands_or_an_error(encoding: str, octets: bytes, end: bytes) -> None:
    if holds(encoding, octets, end):
        assert encode(encoding, octets, end) == octets == decode(encoding, octets)
    else:
        with pytest.raises(TransferError, match=encoding):
            encode(encoding, octets, end)


@given(OCTETS, END)
def test_the_fitting_encoding_is_7_bit(octets: bytes, end: bytes) -> None:
    encoding = fitting(octets, end)
    assert holds("7bit", encode(encoding, octets, end), end)


@pytest.mark.parametrize(
    ("octets", "encoding"),
    [
        (b"one\r\ntwo\r\n", "7bit"),
        (b"", "7bit"),
        (b"x" * 998, "7bit"),
        (b"x" * 999, "quoted-printable"),
        (b"one\n", "quoted-printable"),
        ("Viele Grüße aus dem Norden an alle".encode(), "quoted-printable"),
        ("Привет".encode(), "base64"),
        (b"a\0", "base64"),
    ],
)
def test_fitting(octets: bytes, encoding: str) -> None:
    assert fitting(octets) == encoding


@pytest.mark.parametrize(
    ("encoding", "octets", "held"),
    [
        ("7bit", b"a\r\nb", True),
        ("7bit", b"\xfc", False),
        ("8bit", b"\xfc\r\n" + b"x" * 998, True),
        ("8bit", b"x" * 999, False),
        ("8bit", b"a\0", False),
        ("8bit", b"a\nb", False),
        ("8bit", b"a\rb", False),
        ("binary", b"a\0\n" + b"x" * 999, True),
        ("base64", b"\0", True),
        ("x-nobody-knows", b"", False),
    ],
)
def test_what_an_encoding_holds(encoding: str, octets: bytes, held: bool) -> None:
    assert holds(encoding, octets) is held


@pytest.mark.parametrize(
    ("encoding", "body", "octets"),
    [
        ("base64", b"YQ==\r\nYg==\r\n", b"ab"),
        ("base64", b"Y*W\xfcJ\0j!", b"abc"),
        ("base64", b"YWJjZ", b"abc"),
        ("base64", b"", b""),
        ("quoted-printable", b"a=3Db=3db", b"a=b=b"),
        ("quoted-printable", b"a=\r\nb=\nc= \t\r\nd= \ne", b"abcde"),
        ("quoted-printable", b"a=\rb=\tc", b"ab=\tc"),
        ("quoted-printable", b"a=Z9=4", b"a=Z9=4"),
        ("quoted-printable", b"a=", b"a"),
        ("quoted-printable", b"\xfc", b"\xfc"),
        ("x-nobody-knows", b"=41", b"=41"),
    ],
)
def test_what_is_broken_is_read(encoding: str, body: bytes, octets: bytes) -> None:
    assert decode(encoding, body) == octets


@pytest.mark.parametrize(
    ("data", "end"),
    [(b"a\r\nb\n", b"\r\n"), (b"a\nb\r\n", b"\n"), (b"\n", b"\n"), (b"a", b"\r\n"), (b"", b"\r\n")],
)
def test_the_line_end_of_a_message(data: bytes, end: bytes) -> None:
    assert line_end(data) == end


@pytest.mark.parametrize("junk", [b"=", b"= ", b"=\t\r", b"====\n", b"= = \r"])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_junk_takes_no_time(encoding: str, junk: bytes) -> None:
    with costs_less(10):
        decode(encoding, junk * 500_000)


@given(
    st.lists(
        st.sampled_from([b"a", b"=\r\n", b"= \n", b"=\r", b"\n", b"\r\n", b"=0A", b"\r", b"="])
    ),
    st.data(),
    END,
)
def test_lines_of_quoted_printable_are_decoded_apart(
    words: list[bytes], data: st.DataObject, end: bytes
) -> None:
    body = b"".join(words)
    octets = decode("quoted-printable", body)
    span = st.integers(0, len(octets))
    first, last = sorted((data.draw(span), data.draw(span)))
    lines = quoted_lines(body, octets, first, last, end)
    assert lines.first <= first <= last <= lines.last
    assert lines.start == 0 or body.endswith(b"\n", 0, lines.start)
    assert lines.end == len(body) or octets.endswith(end, lines.first, lines.last)
    new = encode(
        "quoted-printable", octets[lines.first : first] + b"=" + octets[last : lines.last], end
    )
    made = body[: lines.start] + new + body[lines.end :]
    assert decode("quoted-printable", made) == octets[:first] + b"=" + octets[last:]


@pytest.mark.parametrize("line", [b"x=\n", b"x\n", b"=0A", b"\r\n"])
def test_lines_of_quoted_printable_take_no_time(line: bytes) -> None:
    body = line * 500_000
    octets = decode("quoted-printable", body)
    with costs_less(10):
        quoted_lines(body, octets, 0, 0, b"\r\n")
        quoted_lines(body, octets, len(octets) // 2, len(octets) // 2, b"\r\n")
