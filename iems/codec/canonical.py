"""Canonical forms of fields and bodies (RFC 6376 section 3.4), the body in pieces.

White space is blank and tab, a line ends in CRLF, and every other byte is content, a CR or LF alone
too. A body of any size needs the memory of one piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from iems.model.message import Field

CRLF = b"\r\n"
_BLANKS = bytes.maketrans(b"\t", b" ")
_LINE_ENDS = re.compile(rb"(\r?)((?:\n\r)*)")
"""The end of a piece read backwards: line ends, after a CR whose LF may follow."""

_RUN = 1 << 15
"""Line ends that are handed on at once: a body may be nothing else."""


def relaxed_field(field: Field) -> bytes:
    """The field on one line, its name in lower case, white space reduced."""
    value = field.raw.partition(b":")[2].replace(CRLF, b"")
    return field.key + b":" + _single(value).strip(b" ") + CRLF


def content(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What stands behind the empty line with which the pieces begin."""
    first = True
    for piece in pieces:
        yield piece.removeprefix(b"\r").removeprefix(b"\n") if first else piece
        first = False


def body(pieces: Iterable[bytes], *, relaxed: bool) -> Iterator[bytes]:
    """The canonical body, from the pieces of what stands behind the empty line."""
    if relaxed:
        return _trimmed(_reduced(pieces), b"")
    return _trimmed(pieces, CRLF)


def _single(data: bytes) -> bytes:
    """One blank for each run of white space."""
    data = data.translate(_BLANKS)
    while b"  " in data:  # each turn halves the runs: 17 for a piece of nothing else
        data = data.replace(b"  ", b" ")
    return data


def _reduced(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One blank for each run of white space, and none at the end of a line."""
    held = b""
    for piece in pieces:
        data = _single(held + piece)
        open_end = 2 if data.endswith(b" \r") else int(data.endswith((b" ", b"\r")))
        cut = len(data) - open_end
        held = data[cut:]
        yield data[:cut].replace(b" \r\n", CRLF)
    yield held.removesuffix(b" ")


def _trimmed(pieces: Iterable[bytes], empty: bytes) -> Iterator[bytes]:
    """Without empty lines at the end, and with one line end; `empty` where nothing is left."""
    found, line_ends, held = False, 0, b""
    for piece in pieces:
        data = held + piece
        backwards = data[: len(data.rstrip(CRLF)) - len(data) - 1 : -1]
        match = _LINE_ENDS.match(backwards)
        held, ended = match.groups() if match else (b"", b"")
        content = data[: len(data) - len(held) - len(ended)]
        if content:
            yield from _line_ends(line_ends)
            yield content
            found, line_ends = True, 0
        line_ends += len(ended) // 2
    if held:
        yield from _line_ends(line_ends)
        yield held
    yield CRLF if found or held else empty


def _line_ends(count: int) -> Iterator[bytes]:
    while count:
        now = min(count, _RUN)
        yield CRLF * now
        count -= now
