"""What is attached to a message: each as it was, whatever program has attached it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtp.attached import attached

ONE = b"Message-ID: <1@x.test>\r\nSubject: one\r\n\r\nfirst\r\n--b\r\n"
TWO = b"Message-ID: <2@x.test>\nSubject: two\n\nsecond\n"
HEAD = b'Subject: Fwd\r\nContent-Type: multipart/mixed; boundary="=1"\r\n\r\nsee below\r\n'
MESSAGE = b"Content-Type: message/rfc822\r\n"


def forward(*parts: bytes, head: bytes = HEAD) -> bytes:
    """A message with these parts behind a text."""
    every = (b"Content-Type: text/plain\r\n\r\nlearn this", *parts)
    return head + b"".join(b"--=1\r\n" + one + b"\r\n" for one in every) + b"--=1--\r\n"


def test_messages_come_as_they_were_attached_and_in_their_order() -> None:
    whole = forward(MESSAGE + b"\r\n" + ONE, MESSAGE + b"\r\n" + TWO)
    assert list(attached(whole)) == [ONE, TWO]
    assert list(attached(MESSAGE + b"\r\n" + ONE)) == [ONE]


@pytest.mark.parametrize(
    "name",
    [
        b'Content-Type: application/octet-stream; name="Fwd.EML"\r\n',
        b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.eml\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: message/global\r\n",
    ],
)
def test_a_file_is_a_message_by_its_name_or_type_in_whatever_encoding(name: bytes) -> None:
    encoded = base64.encodebytes(ONE).replace(b"\n", b"\r\n")
    part = name + b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded
    assert list(attached(forward(part))) == [ONE]


def test_parts_of_a_digest_are_messages_without_a_type() -> None:
    head = HEAD.replace(b"mixed", b"digest")
    parts = (b"\r\n" + ONE, b"\r\n" + TWO)
    bare = head + b"".join(b"--=1\r\n" + one + b"\r\n" for one in parts) + b"--=1--\r\n"
    assert list(attached(bare)) == [ONE, TWO]


def test_what_an_attached_message_holds_is_its_own() -> None:
    inner = forward(MESSAGE + b"\r\n" + ONE).replace(b"=1", b"=2")
    assert list(attached(forward(MESSAGE + b"\r\n" + inner))) == [inner]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"Subject: Fwd: offer\r\n\r\n> quoted\r\n> Subject: offer\r\n",
        forward(b"Content-Type: application/pdf; name=a.pdf\r\n\r\nx"),
        forward(MESSAGE + b"\r\n\r\n\r\n"),
    ],
)
def test_what_has_none_gives_none(message: bytes) -> None:
    assert list(attached(message)) == []


@given(st.lists(st.sampled_from([HEAD, MESSAGE, ONE, b"--=1\r\n", b"\r\n", b"\xff\0"])))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    assert all(attached(b"".join(pieces)))
