"""A message as every hop can carry it: 7-bit, with lines of 998 bytes at most, and so declared.

Postfix recodes what is declared 8bit for a hop without 8BITMIME, and folds longer lines for any
(smtp_line_length_limit), which breaks a signature that was made before. So parts that would be
touched are brought into another transfer encoding first; what they hold stays the same, byte for
byte. What somebody else has signed or encrypted stays as it is, and so does a message about whose
parts readers differ. 8-bit fields stay, too: Postfix leaves them alone, and a field in another form
would be another one for who compares it (RFC 6532 has them so).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from iems.codec.header import parse_header
from iems.edits import fields
from iems.edits.edit import Edit, EditError
from iems.mime.part import Part
from iems.mime.splice import Splice
from iems.mime.transfer import ENCODINGS, decode, encode, fitting, line_end
from iems.mime.tree import parse

LONGEST = 998
"""Bytes of a line without its end (RFC 5322 section 2.1.1)."""

_DECLARED = re.compile(rb"(?i:content-transfer-encoding)[ \t]*:\s*(?i:8bit|binary)\b")
_OVERLAP = 256
"""Bytes of the piece before that are looked at again: a field may stand across both."""

_OPAQUE = ("multipart/signed", "multipart/encrypted")
_WRAPPED = ("message/rfc822", "message/global", "message/news")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a hop may object to: 8-bit bytes, or parts that are declared so; a line too long."""

    eight_bit: bool
    long_line: bool

    @property
    def clean(self) -> bool:
        """Whether nothing of it is there."""
        return not (self.eight_bit or self.long_line)


def survey(header: bytes, pieces: Iterable[bytes]) -> Survey:
    """Look at a message, its header in one piece; the bytes of the header itself do not count."""
    eight_bit = _DECLARED.search(header) is not None
    long_line, before = False, b""
    for piece in pieces:
        eight_bit = eight_bit or not piece.isascii() or bool(_DECLARED.search(before + piece))
        long_line = long_line or _is_long(before + piece)
        before = (before + piece)[-LONGEST - _OVERLAP :]
    return Survey(eight_bit, long_line)


def seven_bit(data: bytes) -> Edit:
    """Recode the parts that need it; a message where that cannot be done stays, and is told why."""
    root = parse(data)
    if any(part.others for part in root.walk()):
        return Edit(reason="readers differ about its parts")
    try:
        splices = tuple(_splices(data, root))
    except EditError as error:
        return Edit(reason=str(error))
    if splices and not parse_header(data[: root.body]).named(b"mime-version"):
        splices = (*splices, fields.added(data, root, b"MIME-Version: 1.0"))
    return Edit(splices)


def _splices(data: bytes, part: Part) -> Iterator[Splice]:
    kind = part.content_type.word
    plain = part.encoding in {"8bit", "binary"}
    body = data[part.body : part.end]
    if kind in _OPAQUE:
        if plain or not survey(b"", [body]).clean:
            raise EditError(f"a part is {kind}, which nobody may change")
        return
    if part.parts and (kind.startswith("multipart/") or kind in _WRAPPED):
        for one in part.parts:
            yield from _splices(data, one)
        if plain:
            yield from fields.set_encoding(data, part, "7bit")
        return
    if not plain and body.isascii() and not _is_long(body):
        return
    if kind.startswith(("multipart/", "message/")) or part.encoding not in ENCODINGS:
        raise EditError(f"a part of type {kind}, encoding {part.encoding}, cannot be recoded")
    end = line_end(data)
    octets = decode(part.encoding, body)
    encoding = fitting(octets, end) if plain or part.encoding == "7bit" else part.encoding
    if encoding != part.encoding:
        yield from fields.set_encoding(data, part, encoding)
    if encoding == "base64" != part.encoding and kind.startswith("text/"):
        octets = octets.replace(end, b"\r\n")  # the form of a text (RFC 2045 section 6.8)
    if encoding != "7bit":
        yield Splice(part.body, part.end, encode(encoding, octets, end))


def _is_long(data: bytes) -> bool:
    return any(len(line.rstrip(b"\r")) > LONGEST for line in data.split(b"\n"))
