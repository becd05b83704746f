"""Which parts a message has, by the reading of most and by all others."""

from __future__ import annotations

import email
import itertools
from collections.abc import Iterator
from email.message import MIMEPart
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.mime.defect import Defect
from iems.mime.part import Part
from iems.mime.tree import parse
from tests.cost import costs_less
from tests.fuzz.mime import mime

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n"
EVIL = b'Content-Type: application/x; name="evil.exe"\r\n\r\nMZ'


def outline(part: Part, data: bytes) -> list[object]:
    """Types, with the bodies of those that have no parts."""
    inside: list[object] = [outline(one, data) for one in part.parts]
    return [part.content_type.word, *(inside or [data[part.body : part.end]])]


EIGHT = b"".join(b"Content-Type: message/rfc822;x=%d\r\n" % one for one in range(8)) + b"\r\n"
NINE = tuple(b"%d" % number for number in range(9))


def defects(part: Part) -> set[Defect]:
    """Those of the part and all below it, in all readings."""
    return {found.defect for one in part.walk() for found in one.defects}


def test_a_message_without_mime_is_one_part() -> None:
    data = b"Subject: s\r\n\r\nbody\r\n"
    part = parse(data)
    assert (part.start, part.body, part.end) == (0, 14, len(data))
    assert outline(part, data) == ["text/plain", b"body\r\n"]
    assert not defects(part)


def test_parts_delimiters_preamble_and_epilogue() -> None:
    data = MIXED + b"\r\npre\r\n--b\r\n\r\none\r\n--b \t\r\nContent-Type: a/b\r\n\r\n--b--\r\npost"
    part = parse(data)
    assert outline(part, data) == ["multipart/mixed", ["text/plain", b"one"], ["a/b", b""]]
    assert [data[start:end] for start, end in part.delimiters] == [
        *(b"\r\n--b\r\n", b"\r\n--b \t\r\n", b"\r\n--b--\r\n")
    ]
    assert data[part.body : part.delimiters[0][0]] == b"pre"
    assert data[part.delimiters[-1][1] :] == b"post"
    assert not defects(part)


def test_line_ends_of_other_systems_are_no_defect() -> None:
    data = MIXED + b"\r\n--b\r\n\r\none\r\n--b--\r\n"
    lines = data.replace(b"\r", b"")
    assert outline(parse(lines), lines) == ["multipart/mixed", ["text/plain", b"one"]]
    assert not defects(parse(lines))


def test_the_outer_delimiter_ends_what_is_open_inside() -> None:
    data = (
        MIXED + b"\r\n--b\r\nContent-Type: multipart/x; boundary=c\r\n\r\n--c\r\n\r\none\r\n"
        b"--b\r\n\r\ntwo\r\n--b--\r\n"
    )
    part = parse(data)
    assert outline(part, data) == [
        *("multipart/mixed", ["multipart/x", ["text/plain", b"one"]], ["text/plain", b"two"])
    ]
    assert defects(part) == {Defect.NO_END}


def test_messages_in_messages_and_digests() -> None:
    inner = b"Content-Type: text/html\r\n\r\n<p>"
    data = (
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" + inner + b"\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--"
    )
    message = ["message/rfc822", ["text/html", b"<p>"]]
    assert outline(parse(data), data) == ["multipart/digest", message, message]


@pytest.mark.parametrize(
    ("defect", "data"),
    [
        (Defect.LINE_IN_HEADER, b"Subject: s\r\nno field\r\n" + EVIL),
        (Defect.LINE_IN_HEADER, b"no field\r\n" + EVIL),
        (Defect.LINE_IN_HEADER, b"Subject: s\r\n\xe4: x\r\n" + EVIL),
        (Defect.LONE_CR, b"Subject: s\r" + EVIL),
        (Defect.REPEATED_FIELD, MIXED + MIXED.replace(b"=b", b"=B") + b"\r\n--B\r\n" + EVIL),
        (
            Defect.LONE_CR,
            MIXED + b"\r\n\r--b\r" + EVIL.replace(b"\r\n", b"\r") + b"\r--b--",
        ),
        (
            Defect.LONE_CR,
            MIXED + b"\r\n--b\r\n\r\n\r--b\r" + EVIL.replace(b"\r\n", b"\r") + b"\r\n--b--",
        ),
        (Defect.LONE_CR, MIXED + b"X: \r\r\n\r\n\r--b\r" + EVIL),
        (Defect.REPEATED_FIELD, b"Content-Type: text/plain\r\n" + EVIL),
        (Defect.REPEATED_FIELD, b"Content-Type: x/y\r\n" + MIXED + b"\r\n--b\r\n" + EVIL),
        (Defect.REPEATED_PARAMETER, MIXED.replace(b"=b", b"=a;boundary=b") + b"\r\n--b\r\n" + EVIL),
        (Defect.REPEATED_PARAMETER, MIXED.replace(b"=b", b'="b"c') + b"\r\n--bc\r\n" + EVIL),
        (Defect.REPEATED_PARAMETER, MIXED.replace(b"=b", b"=b(c)") + b"\r\n--b(c)\r\n" + EVIL),
        (
            Defect.ENCODED_PARTS,
            b"Content-Transfer-Encoding: base64\r\n" + MIXED + b"\r\n--b\r\n" + EVIL,
        ),
        (
            Defect.ENCODED_PARTS,
            b"Content-Transfer-Encoding: base64\r\nContent-Type: message/rfc822\r\n\r\n" + EVIL,
        ),
        (Defect.NO_BOUNDARY, MIXED.replace(b"boundary", b"x") + b"\r\n--guess\r\n" + EVIL),
        (Defect.NO_BOUNDARY, MIXED + b"\r\n--guess--\r\n" + EVIL + b"\r\n--guess\r\n" + EVIL),
        (Defect.NO_END, MIXED + b"\r\n--b\r\n" + EVIL),
        (Defect.LIKE_DELIMITER, MIXED + b"\r\n--b\r\n\r\none\r\n--bx\r\n" + EVIL),
        (Defect.LIKE_DELIMITER, MIXED + b"\r\n--b\r\n\r\n--b--x\r\n--b\r\n" + EVIL),
        (Defect.PARTS_AFTER_END, MIXED + b"\r\n--b\r\n\r\none\r\n--b--\r\n--b\r\n" + EVIL),
        (Defect.ODD_TYPE, b"Content-Type: multipart; boundary=b\r\n\r\n--b\r\n" + EVIL),
    ],
)
def test_what_one_reader_shows_is_found(defect: Defect, data: bytes) -> None:
    part = parse(data)
    assert defect in defects(part)
    assert any(
        one.names == ("evil.exe",) and data.startswith(b"MZ", one.body) for one in part.walk()
    )


@pytest.mark.parametrize(
    ("defect", "data"),
    [
        (Defect.NO_BODY, b"Subject: s"),
        (Defect.NO_BODY, MIXED + b"\r\n--b\r\nSubject: s\r\n--b--"),
        (Defect.NUL, b"Subject: \0\r\n\r\n"),
        (Defect.ODD_TYPE, b"Content-Type: text\r\n\r\n"),
        (Defect.ODD_TYPE, b"Content-Type:\r\n\r\n"),
        (Defect.ODD_TYPE, b"Content-Type: text/plain multipart/mixed; boundary=b\r\n\r\n"),
        (Defect.ODD_TYPE, b"Content-Type: text/plain); x=y\r\n\r\n"),
        (Defect.ODD_ENCODING, b"Content-Transfer-Encoding: base 64\r\n\r\n"),
        (Defect.ODD_ENCODING, b"Content-Transfer-Encoding: 7bit base64\r\n\r\n"),
        (Defect.LINE_IN_HEADER, b"Subject: s\r\n \t\r\nX: y\r\n\r\n"),
        (Defect.NUL, MIXED + b"\r\n--b\r\n\r\n-\0-b\r\n\r\n--b--"),
        (
            Defect.LONG_HEADER,
            b"Content-Disposition: x;" + b"x" * 9_000 + b";filename=e.exe\r\n\r\n",
        ),
        (Defect.TOO_MANY_PARTS, b"Content-Disposition: x; filename=y\r\n" * 9 + b"\r\n"),
        (Defect.TOO_MANY_PARTS, MIXED.replace(b"=b", b";boundary=%b".join([b"=b"] * 10) % NINE)),
        (Defect.LONG_HEADER, b"Subject:" + b" x\r\n" * (1 << 19) + b"\r\n"),
        (Defect.TOO_MANY_PARTS, MIXED + b"\r\n--b\r\n" * 20_000),
        (Defect.TOO_MANY_PARTS, b"Content-Type: message/rfc822\r\n\r\n" * 60),
        (
            Defect.TOO_MANY_PARTS,
            b"".join(b"Content-Type: a/b%d\r\n" % number for number in range(9)) + b"\r\n",
        ),
    ],
)
def test_what_is_broken_is_told(defect: Defect, data: bytes) -> None:
    assert defect in defects(parse(data))


@pytest.mark.parametrize(
    ("boundary", "decoy", "other"),
    [
        (b'boundary="a"; x="\\"; boundary=b; y="', b"a", b"b"),
        (b'x="; boundary=b; "; boundary=a', b"a", b"b"),
        (b"boundary*0=a; boundary*0=b", b"a", b"b"),
        (b"boundary*0=b; boundary*2=a", b"ba", b"b"),
        (b"boundary*=utf-8''a; boundary*0=b", b"a", b"b"),
        (b"boundary*=%61", b"a", b"%61"),
        (b"boundary*=utf-7''+AGE-", b"a", b"+AGE-"),
        (b'boundary="=?utf-8?q?b?="', b"=?utf-8?q?b?=", b"b"),
        (b'boundary=" b"', b" b", b"b"),
        (b"boundary='b'", b"'b'", b"b"),
        (b"boundary=\xa0b", b"b", b"\xa0b"),
        (b'boundary="a\xa0"', b"a\xa0", b"b"),
        (b"boundary=" + b"b" * 71, b"b" * 71, b"b" * 70),
        (b"boundary=a; x", b"a", b"b"),
        (b"boundary=a; x=" + b"x" * 9_000 + b"; boundary=b", b"a", b"b"),
    ],
)
def test_a_boundary_that_readers_may_take_for_another_is_told(
    boundary: bytes, decoy: bytes, other: bytes
) -> None:
    data = b"Content-Type: multipart/mixed; %s\r\n\r\n--%s\r\n\r\n--%s\r\n%s\r\n--%s--\r\n"
    found = defects(parse(data % (boundary, decoy, other, EVIL, decoy)))
    assert Defect.ODD_BOUNDARY in found


@pytest.mark.parametrize(
    "parameters",
    [
        b'boundary="----=_Part_1_2.3"',
        b"boundary=Apple-Mail=_5B\r\n",
        b'\r\n\tprotocol="application/pgp-signature"; micalg=pgp-sha256;\r\n\tboundary="=-=";',
        b'type="multipart/alternative"; start="<a@b.example>"; boundary="_000_x_"; charset=utf-8',
        b'BOUNDARY = "b \'()+_,-./:=?c" ; name="\xc3\xbc.txt"',
        b"boundary=mk3-boundary-1",
    ],
)
def test_boundaries_of_honest_mail_are_plain(parameters: bytes) -> None:
    assert Defect.ODD_BOUNDARY not in defects(
        parse(b"Content-Type: multipart/mixed; " + parameters + b"\r\n\r\n")
    )


def test_unknown_messages_are_one_body_or_a_message() -> None:
    data = b"Content-Type: message/x\r\n\r\n" + EVIL
    (other,) = parse(data).others
    assert [one.names for one in other.parts] == [("evil.exe",)]
    report = parse(data.replace(b"/x\r", b"/delivery-status\r"))
    assert not report.parts
    assert not report.others


@pytest.mark.parametrize(
    "data",
    [
        b"".join(
            b"Content-Type: message/rfc822;%d\r\nContent-Transfer-Encoding: x%d\r\n" % (one, one)
            for one in range(1_000)
        ),
        EIGHT * 5 + b"Content-X: \r\n" * 20_000,
        EIGHT * 5 + b"Content-Type: multipart/mixed\r\n\r\n" + b"\n" * 1_000_000,
    ],
)
def test_many_readings_take_no_time(data: bytes) -> None:
    with costs_less(10):
        assert Defect.TOO_MANY_PARTS in defects(parse(data))


@pytest.mark.parametrize(
    "data",
    [
        b"From x@y Thu Nov 26 2026\nSubject: s\n\nbody",
        b">From x@y\r\nSubject : s\r\n folded\r\n\r\nbody",
        b"",
        b"\r\nbody",
        b'Content-Type: multipart/mixed;\r\n\tBOUNDARY = "b c" \r\n\r\n--b c\r\n\r\n--b c--',
    ],
)
def test_what_is_only_odd_is_no_defect(data: bytes) -> None:
    assert not defects(parse(data))


def test_delimiters_that_follow_at_once_share_a_line_end() -> None:
    data = MIXED + b"\r\n--b\r\n--b\r\n\r\n--b--"
    mime(data)
    part = parse(data)
    assert [data[start:end] for start, end in part.delimiters] == [
        *(b"--b\r\n", b"--b\r\n", b"\r\n--b--")
    ]
    assert [(one.start, one.body, one.end) for one in part.parts] == [(50, 50, 50), (55, 55, 55)]


def test_a_line_that_is_no_field_may_begin_the_body() -> None:
    data = b"Subject: s\r\nno field\r\nContent-Type: a/b\r\n\r\nbody"
    (other,) = parse(data).others
    assert outline(other, data) == ["text/plain", data[12:]]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (b"filename*0=a.txt; filename*0=b.exe", "b.exe"),
        (b"filename*=utf-8''a.txt; filename*0=b.exe", "b.exe"),
        (b"filename*0=b.exe; filename*2=.txt", "b.exe"),
        (b"filename*1=b.exe; filename*3=.txt", "b.exe"),
    ],
)
def test_sections_that_readers_put_together_otherwise(parameters: bytes, name: str) -> None:
    assert name in parse(b"Content-Disposition: x; " + parameters + b"\r\n\r\n").names


def test_names() -> None:
    part = parse(
        b"Content-Type: a/b; name==?utf-8?Q?=C3=BC.exe?=\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''%C3%BC.exe; filename=\"u.txt\"\r\n"
        b"Content-Disposition: inline; filename=x.txt\r\n\r\n"
    )
    assert part.disposition.word == "attachment"
    assert part.names == ("ü.exe", "u.txt", "x.txt")


WORDS = [
    *(
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b" ",
        b";",
        b"--",
        b"--b",
        b"\r\n--b",
        b"--b--",
        b"\r\n--bb",
    ),
    *(
        b"Content-Type: ",
        b"multipart/mixed",
        b"; boundary=b",
        b'; boundary="bb"',
        b"\0",
        b"x",
        b":",
    ),
    *(MIXED + b"\r\n", b"message/rfc822", b"Content-Transfer-Encoding: base64\r\n", EVIL, b"\xe4"),
]


@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=5), max_size=40).map(b"".join))
def test_offsets_are_in_order_whatever_the_bytes(data: bytes) -> None:
    mime(data)


LEAF = st.tuples(
    st.sampled_from(["text/plain", "text/html", "a/b"]), st.sampled_from(["", "x\r\ny"])
)
SHAPE = st.recursive(LEAF, lambda shapes: st.lists(shapes, min_size=1, max_size=4), max_leaves=12)


def written(shape: object, numbers: Iterator[int]) -> bytes:
    """The shape as a message."""
    if isinstance(shape, tuple):
        return f"Content-Type: {shape[0]}\r\n\r\n{shape[1]}".encode()
    assert isinstance(shape, list)
    boundary = f"=_{next(numbers):04}_"
    inside = [f"--{boundary}\r\n".encode() + written(one, numbers) + b"\r\n" for one in shape]
    head = f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()
    return head + b"".join(inside) + f"--{boundary}--\r\n".encode()


def seen(shape: object) -> list[object]:
    """The outline of the shape."""
    if isinstance(shape, tuple):
        return [shape[0], shape[1].encode()]
    assert isinstance(shape, list)
    return ["multipart/mixed", *(seen(one) for one in shape)]


def by_python(message: MIMEPart) -> list[object]:
    """The outline that Python's own parser gives."""
    if message.is_multipart():
        return [message.get_content_type(), *map(by_python, message.iter_parts())]
    return [message.get_content_type(), message.get_payload(decode=True)]


@given(SHAPE)
def test_what_is_written_is_read(shape: object) -> None:
    data = written(shape, itertools.count())
    part = parse(data)
    assert (
        outline(part, data) == seen(shape) == by_python(email.message_from_bytes(data, policy=SMTP))
    )
    assert not defects(part)
    assert sum(1 for _one in part.walk()) == sum(
        1 for _one in email.message_from_bytes(data).walk()
    )
