"""Dots are doubled so that every server finds the end where it is, and the text as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lmtp.stuffing import END, stuffed
from lmtp.wire import Unstuffer

pieces = st.lists(
    st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"x", b"\n.\n"]), max_size=6).map(
        b"".join
    ),
    max_size=12,
)


def read_like_dovecot(data: bytes) -> tuple[bytes, bytes]:
    """Text and rest as Dovecot 2.3.19 reads DATA: LF ends a line, with or without CR before it."""
    text, rest = b"", data
    while rest:
        line, newline, after = rest.partition(b"\n")
        if newline and line in {b".", b".\r"}:
            return text, after
        text += line.removeprefix(b".") + newline
        rest = after
    raise AssertionError("no end")


@given(pieces)
def test_a_server_that_takes_bare_lf_reads_what_was_written(parts: list[bytes]) -> None:
    message = b"".join(parts)
    text, rest = read_like_dovecot(b"".join(stuffed(parts)) + END + b"NEXT")
    assert rest == b"NEXT"
    assert text in {message, message + b"\r\n"}


@given(pieces)
def test_a_server_that_takes_crlf_alone_finds_the_same_end(parts: list[bytes]) -> None:
    message = b"".join(parts)
    text, rest = Unstuffer().feed(b"".join(stuffed(parts)) + END + b"NEXT")
    assert rest == b"NEXT"
    clean = message.replace(b"\r\n", b"").count(b"\n") == 0
    assert not clean or text in {message, message + b"\r\n"}


def test_a_message_that_ends_with_crlf_gets_no_other() -> None:
    assert b"".join(stuffed([b"a\r", b"\n", b""])) == b"a\r\n"
    assert b"".join(stuffed([])) == b""
    assert b"".join(stuffed([b".", b".", b"\r\n", b"."])) == b"...\r\n..\r\n"
