"""What is recoded holds the same, what need not be stays as it is, and no hop has to recode."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.edits.seven_bit import Survey, seven_bit, survey

LONG = b"y" * 999
TEXT = "grüße\r\n".encode()


def message(*fields: bytes, body: bytes) -> bytes:
    return b"".join(one + b"\r\n" for one in (b"From: a@b.example", *fields)) + b"\r\n" + body


def multipart(*parts: bytes, kind: bytes = b"mixed", more: tuple[bytes, ...] = ()) -> bytes:
    inside = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    field = b"Content-Type: multipart/" + kind + b'; boundary="b"'
    return message(b"MIME-Version: 1.0", field, *more, body=inside + b"--b--\r\n")


def looked(data: bytes) -> Survey:
    header, _end, body = data.partition(b"\r\n\r\n")
    return survey(header, [body])


def held(data: bytes) -> list[tuple[str, object]]:
    """Types and decoded contents of all leaves, as Python's email reads them."""
    parsed = email.message_from_bytes(data, policy=email.policy.compat32)
    leaves = [part for part in parsed.walk() if not part.is_multipart()]
    return [(part.get_content_type(), part.get_payload(decode=True)) for part in leaves]


UTF8 = b"Content-Type: text/plain; charset=utf-8"
EIGHT = b"Content-Transfer-Encoding: 8bit"
RECODED = {
    "8-bit text": message(b"MIME-Version: 1.0", UTF8, EIGHT, body=TEXT),
    "not declared": message(b"MIME-Version: 1.0", UTF8, body=TEXT),
    "no MIME at all": message(body=b"gr\xfc\xdfe\r\n"),
    "long line": message(body=b"short\r\n" + LONG + b"\r\n"),
    "declared and not so": message(b"MIME-Version: 1.0", UTF8, EIGHT, body=b"hello\r\n"),
    "binary": message(
        b"MIME-Version: 1.0",
        b"Content-Type: image/png",
        b"Content-Transfer-Encoding: binary",
        body=bytes(range(14, 256)) * 9 + b"\r\n",
    ),
    "in a multipart": multipart(
        UTF8 + b"\r\n" + EIGHT + b"\r\n\r\n" + TEXT,
        b"Content-Type: text/html\r\n\r\n<p>as it is  \r\n",
        b"\r\n" + LONG,
        more=(EIGHT,),
    ),
    "in a message": multipart(
        b"Content-Type: message/rfc822\r\n" + EIGHT + b"\r\n\r\n"
        + message(b"MIME-Version: 1.0", UTF8, EIGHT, body=TEXT)
    ),
    "base64 in one line": multipart(
        b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 400
    ),
    "quoted-printable in long lines": multipart(
        UTF8 + b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=C3=BC" * 300
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECODED)
def test_what_hops_would_change_is_recoded(name: str) -> None:
    before = RECODED[name]
    edit = seven_bit(before)
    after = edit.of(before)
    assert not looked(before).clean
    assert edit.reason == ""
    assert looked(after) == Survey(eight_bit=False, long_line=False)
    assert after.isascii()
    assert held(after) == held(before)
    assert b"\r\nMIME-Version: 1.0\r\n" in after
    assert seven_bit(after).splices == ()


def test_one_part_is_recoded_and_all_else_stays() -> None:
    before = RECODED["in a multipart"]
    expected = (
        before.replace(EIGHT + b"\r\n\r\n--b", b"Content-Transfer-Encoding: 7bit\r\n\r\n--b")
        .replace(EIGHT, b"Content-Transfer-Encoding: base64")
        .replace(TEXT, b"Z3LDvMOfZQ0K\r\n")
        .replace(
            b"--b\r\n\r\n" + LONG,
            b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            + (b"y" * 75 + b"=\r\n") * 13
            + b"y" * 24,
        )
    )
    assert seven_bit(before).of(before) == expected


@pytest.mark.parametrize(
    "data",
    [
        message(body=b"plain  \r\n" + b"y" * 998 + b"\r\n"),
        multipart(b"\r\ntext", kind=b"signed"),
        message(b"Subject: gr\xfc\xdfe", body=b"hello\r\n"),
    ],
)
def test_what_every_hop_carries_stays(data: bytes) -> None:
    assert looked(data).clean
    assert seven_bit(data).splices == ()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (multipart(b"\r\n" + TEXT, kind=b"signed"), "multipart/signed"),
        (multipart(UTF8 + b"\r\n" + EIGHT + b"\r\n\r\nx", kind=b"signed"), "multipart/signed"),
        (multipart(b"\r\n" + LONG, kind=b"encrypted"), "multipart/encrypted"),
        (multipart(b"Content-Type: message/delivery-status\r\n\r\n" + TEXT), "delivery-status"),
        (message(b"Content-Transfer-Encoding: x-odd", body=LONG), "x-odd"),
        (message(UTF8, EIGHT, b"Content-Transfer-Encoding: base64", body=TEXT), "differ"),
    ],
)
def test_what_cannot_be_recoded_stays_and_is_told_why(data: bytes, why: str) -> None:
    edit = seven_bit(data)
    assert edit.splices == ()
    assert why in edit.reason


@pytest.mark.parametrize("size", [1, 3, 1000, 5000])
@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"y" * 998 + b"\r\n" + b"z" * 998, Survey(eight_bit=False, long_line=False)),
        (b"x\r\n" * 700 + b"y" * 999 + b"\r\nz", Survey(eight_bit=False, long_line=True)),
        (b"x\r\n" * 700 + b"\xe4\r\n", Survey(eight_bit=True, long_line=False)),
        (
            b"x\r\n" * 900 + b"Content-Transfer-Encoding:\r\n 8bit\r\n" + b"x\r\n" * 900,
            Survey(eight_bit=True, long_line=False),
        ),
    ],
)
def test_a_survey_is_the_same_in_whatever_pieces(body: bytes, found: Survey, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (body[at : at + size] for at in range(0, len(body), size))

    assert survey(b"", pieces()) == found


_LINE = st.lists(
    st.sampled_from([b"a", b" ", b"=", b".", b"\xc3\xbc", b"\xff", b"\0", b"\r", b"long " * 300]),
    max_size=5,
).map(b"".join)


@settings(max_examples=60)
@given(
    lines=st.lists(_LINE, max_size=6),
    encoding=st.sampled_from([b"7bit", b"8bit", b"binary"]),
    whole=st.booleans(),
)
def test_any_text_holds_the_same_afterwards(
    lines: list[bytes], encoding: bytes, whole: bool
) -> None:
    content = b"\r\n".join(lines)
    field = b"Content-Transfer-Encoding: " + encoding
    before = message(b"MIME-Version: 1.0", UTF8, field, body=content)
    if not whole:
        before = multipart(UTF8 + b"\r\n" + field + b"\r\n\r\n" + content)
    after = seven_bit(before).of(before)
    assert looked(after).clean
    (_kind, kept) = held(after)[0]
    assert isinstance(kept, bytes)
    assert kept.removesuffix(b"\r\n") == content.removesuffix(b"\r\n")
