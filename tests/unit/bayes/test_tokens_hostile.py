"""Bytes that nobody would call a message are words all the same, soon and not many.

`CORPUS=FOLDER` has the files of a folder read as well: any mail that there is.
"""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtp.bayes import html
from lmtp.bayes.tokens import WORDS, tokens
from tests.cost import costs_less
from tests.fuzz.bayes import words
from tests.fuzz.targets import CORPUS

MILLION = 1 << 20
HTML = b"Content-Type: text/html\r\n\r\n"
TEXT = b"Subject: s\r\n\r\n"
LEVEL = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"

PIECES: Mapping[str, tuple[bytes, bytes]] = {
    "dots": (TEXT, b"a.a."),
    "at signs": (TEXT, b"a@"),
    "one line": (TEXT, b"x"),
    "zero bytes": (TEXT, b"\0"),
    "returns": (b"Subject: s\r\r", b"\r"),
    "addresses": (TEXT, b"http://www."),
    "marks on letters": (TEXT, "\u0301\u0323".encode()),
    "octets that are no text": (TEXT, bytes(range(128, 256))),
    "letters beyond ASCII": (TEXT, b"\xe4 "),
    "angles": (HTML, b"<"),
    "references": (HTML, b"&#"),
    "comments without an end": (HTML, b"<!--"),
    "scripts without an end": (HTML, b"<script><style>"),
    "values without an end": (HTML, b'<a x="'),
    "styles": (HTML + b"<p style='", b"display font-size:0 "),
    "hidden in hidden": (HTML, b"<p style=display:none>"),
    "parts": (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n\r\n"),
    "fields": (b"", b"a:\n"),
    "lines of an mbox file": (b"", b"From \n"),
    "hops": (b"", b"Received: from a (a.a.a.a (a.a.a [1.1.1 by from\n"),
    "recipients": (b"To: ", b"a@"),
    "one name": (b"X-", b"spam-mailscanner-"),
    "a charset that shifts": (b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n", b"\x1b$B"),
    "soft breaks": (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"=\n"),
}
WHOLE: Mapping[str, Callable[[], bytes]] = {
    "levels": lambda: b"".join(LEVEL % (one, one) for one in range(20_000)),
    "different tags": lambda: HTML + b"".join(b"<a%d>" % one for one in range(MILLION // 8)),
    "different words": lambda: TEXT + b" ".join(b"w%xw" % one for one in range(MILLION // 8)),
    "rubbish": lambda: TEXT + random.Random(1).randbytes(MILLION),
    "rubbish in base64": lambda: (
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(random.Random(1).randbytes(MILLION))
    ),
    "fifty megabytes": lambda: TEXT + b"hello world " * (50 * MILLION // 12),
}


@pytest.mark.parametrize("case", PIECES)
def test_a_megabyte_of(case: str) -> None:
    """Each takes 0.3 s at most, most of them a hundredth of that."""
    head, piece = PIECES[case]
    message = head + piece * (MILLION // len(piece))
    with costs_less(1):
        found = tokens(message)
    assert 0 < len(found.words) <= WORDS


@pytest.mark.parametrize("case", WHOLE)
def test_large(case: str) -> None:
    message = WHOLE[case]()
    with costs_less(1):
        found = tokens(message)
    assert 0 < len(found.words) <= WORDS


def test_a_page_of_many_colours() -> None:
    """Each tag takes the same time, however many colours there were before it."""
    source = "".join(f"<td bgcolor=#{one:06x}>" for one in range(25_000))
    with costs_less(1):
        html.read(source)


def test_ordinary_mail_is_quick() -> None:
    """Some 50 messages take 0.05 s."""
    message = (
        b"From: Bob <bob@sender.test>\r\nSubject: Our meeting\r\n"
        + HTML
        + b"<p>We <b>meet</b> at <a href='http://a.test/x?y=1'>the usual place</a>.<br>\r\n" * 50
    )
    with costs_less(1):
        for _one in range(50):
            tokens(message)


FILES = sorted(one for one in Path(os.environ.get("CORPUS", CORPUS)).rglob("*") if one.is_file())


def test_every_file_is_read() -> None:
    for file in FILES:
        words(file.read_bytes())
    assert FILES


_MARKUP = st.sampled_from(
    [
        *(b"<", b">", b"<!--", b"-->", b"<p style=display:none>", b"</p>", b"&#", b" ", b"--b--"),
        *(b"\r\n", b"\n", b"\r", b"\0", b"--b", b"\r\n\r\n", b"http://", b"@", b"\xe4\xbd", b"?="),
        *(b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: text/html\r\n"),
        *(b"Content-Transfer-Encoding: base64\r\n", b"Received: from a ([192.0.2.1]) by b\r\n"),
        *(
            b"charset=gb2312",
            b"Subject: ",
            b"From: ",
            b"Message-ID: <",
            b"From a@b\n",
            b"=?utf-8?B?",
        ),
    ]
)


@settings(max_examples=100, deadline=2000)
@given(st.lists(_MARKUP | st.binary(max_size=8), max_size=30).map(b"".join))
def test_any_bytes(message: bytes) -> None:
    words(message)
