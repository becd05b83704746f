"""Bodies with and without their transfer encoding (RFC 2045 section 6).

What is read is read as mail programs do: junk between letters of base64 and padding in its middle
are passed over, an equals sign that encodes nothing stays, an encoding that nobody knows is none.
No bytes raise, and the work is linear in their number. What is written follows the RFC, with the
line ends of the message in which it is to stand.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

from iems.codec.encoded import base64_octets, base64_pieces

PLAIN = frozenset({"7bit", "8bit", "binary"})
ENCODINGS = PLAIN | {"base64", "quoted-printable"}

_LINE, _ENCODED_LINE = 998, 76
"""Bytes of a line without its end: RFC 5322 section 2.1.1, RFC 2045 section 6.7 and 6.8."""

ODD_SOFT_BREAK = re.compile(rb"=(?:[ \t]++\r?\n|[ \t]*+\r(?!\n))")
"""Blanks behind the equals sign that joins two lines, or a lone CR: some readers overlook them."""

_HARD_END = {end: re.compile(rb"(?<!=)" + end) for end in (b"\r\n", b"\n")}
_UNSAFE = bytes((*range(9), *range(11, 13), *range(14, 32), 61, *range(127, 256)))
"""What quoted-printable writes with three bytes, save for line ends and blanks at them."""


class TransferError(ValueError):
    """Octets that cannot stand in a message as they are."""


class Lines(NamedTuple):
    """Lines of a body in quoted-printable, and which of its octets they hold."""

    start: int
    end: int
    first: int
    last: int


def line_end(data: bytes) -> bytes:
    """The line end that a message uses, which is that of its first line; CRLF if it has none."""
    at = data.find(b"\n")
    return b"\n" if at == 0 or (at > 0 and data[at - 1] != 0x0D) else b"\r\n"


def decode(encoding: str, body: bytes) -> bytes:
    """The octets of a body; `encoding` is in lower case, as `Part.encoding` is."""
    if encoding == "base64":
        return base64_pieces(body)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(ODD_SOFT_BREAK.sub(b"=\n", body))
    return body


def decodings(encoding: str, body: bytes) -> Iterator[bytes]:
    """The octets; then as those have them who overlook padding before the end of base64."""
    yield decode(encoding, body)
    if encoding == "base64" and b"=" in body.rstrip(b"= \t\r\n"):
        yield base64_octets(body)


def quoted_lines(body: bytes, octets: bytes, first: int, last: int, end: bytes) -> Lines:
    """Lines that hold these octets of all that the body holds, and few others.

    They end where the octets have the line end `end`, or with the body, so that what is encoded
    anew in their place is followed by a line as they are. A line is decoded without those before
    it, so only such as are near these octets have to be.
    """
    size = len(octets) - first
    while True:
        start = body.rfind(b"\n", 0, max(len(body) - size, 0)) + 1
        held = len(octets) - len(decode("quoted-printable", body[start:]))
        if held <= first:
            break
        size += size + _ENCODED_LINE
    size = last - held
    while True:
        ended = _HARD_END[end].search(body, start + size)
        stop = len(body) if ended is None else ended.end()
        until = held + len(decode("quoted-printable", body[start:stop]))
        if stop == len(body) or (until >= last and octets.endswith(end, held, until)):
            return Lines(start, stop, held, until)
        size += size + _ENCODED_LINE


def encode(encoding: str, octets: bytes, end: bytes = b"\r\n") -> bytes:
    """The octets as a body whose lines end in `end`, from which `decode` makes them again.

    Line ends of text are to be `end` already: as such they stay in quoted-printable; a CR or LF
    that is none is encoded. Base64 is followed by a line end. TransferError if a plain encoding
    cannot hold them.
    """
    if encoding == "base64":
        return _base64(octets, end)
    if encoding == "quoted-printable":
        return _quoted(octets, end)
    if not holds(encoding, octets, end):
        raise TransferError(f"{len(octets)} bytes cannot stand in a body as {encoding}")
    return octets


def holds(encoding: str, octets: bytes, end: bytes = b"\r\n") -> bool:
    """Whether the octets can be a body in this encoding, whose lines end in `end`."""
    if encoding not in PLAIN:
        return encoding in ENCODINGS
    if encoding == "7bit" and not octets.isascii():
        return False
    if encoding == "binary":
        return True
    lines = octets.split(end)
    odd = b"\0" in octets or any(b"\r" in line or b"\n" in line for line in lines)
    return not odd and max(map(len, lines)) <= _LINE


def fitting(octets: bytes, end: bytes = b"\r\n") -> str:
    """The encoding of 7-bit bytes that stays readable or else is short."""
    if holds("7bit", octets, end):
        return "7bit"
    unsafe = len(octets) - len(octets.translate(None, _UNSAFE))
    return "quoted-printable" if 3 * unsafe <= len(octets) else "base64"


def _base64(octets: bytes, end: bytes) -> bytes:
    text = binascii.b2a_base64(octets, newline=False)
    lines = [text[at : at + _ENCODED_LINE] for at in range(0, len(text), _ENCODED_LINE)]
    return end.join([*lines, b""])


def _quoted(octets: bytes, end: bytes) -> bytes:
    """Each line on its own, so that a lone CR or LF is encoded; LF then stands in soft breaks."""
    soft = b"=" + end
    return end.join(
        binascii.b2a_qp(line, istext=False).replace(b"=\n", soft) for line in octets.split(end)
    )
