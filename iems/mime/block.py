"""Files that stand in a text: uuencode, yEnc and BinHex (RFC 1741), by offsets into the text.

Mail programs cut such blocks out of a text and show them as attachments, without a word about them
in any header. The text is what remains when the transfer encoding has been undone. No bytes raise,
the work is linear in their number, and no block is larger than `MOST` when it is decoded.

A block that does not end as its format says is not `whole`: it goes as far as what follows can be
a part of it, and readers may make something else of the rest.
"""

from __future__ import annotations

import binascii
import enum
import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass

from iems.codec.encoded import base64_octets

MOST = 100 << 20
"""Octets of one block. BinHex packs runs: 255 octets are three characters."""


class Form(enum.Enum):
    """How the file is written."""

    UUENCODE = "uuencode"
    YENC = "yenc"
    BINHEX = "binhex"


@dataclass(frozen=True, slots=True)
class Block:
    """The lines `start` to `end`, the line end of the last one included."""

    form: Form
    start: int
    end: int
    name: bytes
    octets: bytes
    whole: bool
    cut: bool = False
    """Whether there is more in it than is decoded."""


_UUENCODE = re.compile(
    rb"begin(-base64)?(?: +[0-7]{3,4} +| {2,})([^\s][^\r\n]{0,1000}+)[^\r\n]*+(?:\r?\n|\Z)"
)
_YENC = re.compile(rb"=ybegin (?:[^\r\n]{0,200} )?name=([^\r\n]{0,1000}+)[^\r\n]*+(?:\r?\n|\Z)")
_BINHEX = re.compile(rb"\(This file must be converted with BinHex[^\r\n]*+(?:\r?\n|\Z)")
_LINE = re.compile(rb"([^\r\n]*+)(\r*+\n|\r++|\Z)")
_DATA = re.compile(rb"[ -`]++")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]++=*+[ \t]*+")
_Y_LINE = re.compile(rb"^=y(end|begin)[ \r\n][^\n]*+(?:\n|\Z)|^=y(end)\Z", re.MULTILINE)
_Y_PART = re.compile(rb"=ypart [^\n]*+\n")
_Y_ESCAPED = re.compile(rb"=(.)", re.DOTALL)
_Y_PIECE = 64 << 10
_Y_SHIFT = bytes((one - 42) % 256 for one in range(256))
_HQX_LETTERS = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_HQX = re.compile(rb"\s*+:([\s" + re.escape(_HQX_LETTERS) + rb"]*+)(:?)[ \t]*+\r?\n?")
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HQX_TO_BASE64 = bytes.maketrans(_HQX_LETTERS, _LETTERS)


def blocks(text: bytes, most: int = MOST) -> Iterator[Block]:
    """All of them, in the order in which they stand, and of BinHex at most so many octets."""
    signs = (b"begin", b"=ybegin ", b"(This file must be converted with BinHex")
    end = 0
    for at in heapq.merge(*(_lines(text, sign) for sign in signs)):
        if at >= end and (block := _block(text, at, most)) is not None:
            yield block
            end = block.end


def _lines(text: bytes, sign: bytes) -> Iterator[int]:
    """Where a line begins with this."""
    at = text.find(sign)
    while at >= 0:
        if at == 0 or text[at - 1] in b"\r\n":
            yield at
        at = text.find(sign, at + 1)


def _block(text: bytes, at: int, most: int) -> Block | None:
    if (found := _UUENCODE.match(text, at)) is not None:
        return _uuencoded(text, at, found.end(), found[2], base64=bool(found[1]))
    if (found := _YENC.match(text, at)) is not None:
        return _yenc(text, at, found.end(), found[1])
    if (found := _BINHEX.match(text, at)) is not None:
        return _binhex(text, at, found.end(), most)
    return None


def _uuencoded(text: bytes, start: int, body: int, name: bytes, *, base64: bool) -> Block | None:
    """Lines of data and empty ones; the one behind them says whether it is whole."""
    pieces: list[bytes] = []
    at, end, whole = body, body, False
    while at < len(text) and (line := _LINE.match(text, at)) is not None:
        content = line[1]
        whole = content.rstrip() == (b"====" if base64 else b"end")
        if not whole:
            octets = _base64_line(content) if base64 else _uu_line(content)
            if octets is None:
                break
            pieces.append(octets)
        at = line.end()
        end = at if whole or content.strip() else end
        if whole:
            break
    octets = b"".join(pieces)
    if not octets and not whole:
        return None
    return Block(Form.UUENCODE, start, end, name.rstrip(), octets, whole)


def _uu_line(line: bytes) -> bytes | None:
    """What a line holds; None if it is none of uuencode.

    Blanks at its end may be lost, and some writers put a sum behind it.
    """
    if not line.strip():
        return b""
    count = (line[0] - 32) & 63
    length = 4 * (-(-count // 3))
    letters = line[1:]
    if not _DATA.fullmatch(line) or len(letters.rstrip()) > length + 2:
        return None
    needed = -(-4 * count // 3)  # what stands behind them in the last four letters is no matter
    return binascii.a2b_uu(line[:1] + letters[:needed].ljust(needed))


def _base64_line(line: bytes) -> bytes | None:
    if not line.strip():
        return b""
    return base64_octets(line.partition(b"=")[0]) if _BASE64.fullmatch(line) else None


def _yenc(text: bytes, start: int, body: int, name: bytes) -> Block:
    """Up to its last line, the next block or the end."""
    if (part := _Y_PART.match(text, body)) is not None:
        body = part.end()
    last = _Y_LINE.search(text, body)
    whole = last is not None and b"end" in (last[1], last[2])
    stop = len(text) if last is None else last.start()
    end = last.end() if last is not None and whole else stop
    data = text[body:stop].translate(None, b"\r\n")
    plain = b"".join(_y_unescaped(data))
    return Block(Form.YENC, start, end, name.rstrip(), plain.translate(_Y_SHIFT), whole)


def _y_unescaped(data: bytes) -> Iterator[bytes]:
    """Piece by piece, none of which ends within an escape: each one takes some 100 bytes."""
    at = 0
    while at < len(data):
        piece = data[at : at + _Y_PIECE]
        if (len(piece) - len(piece.rstrip(b"="))) % 2:
            piece = data[at : at + _Y_PIECE + 1]
        yield _Y_ESCAPED.sub(lambda one: bytes([(one[1][0] - 64) % 256]), piece)
        at += len(piece)


def _binhex(text: bytes, start: int, body: int, most: int) -> Block | None:
    """What is between two colons: a name, a data fork and a resource fork, of which it has one."""
    found = _HQX.match(text, body)
    if found is None:
        return None
    packed = base64_octets(found[1].translate(_HQX_TO_BASE64))
    stream = _unpacked(packed, most)
    length = stream[0] if stream else 0
    head = stream[length + 2 : length + 20]
    size = int.from_bytes(head[10:14], "big")
    octets = stream[length + 22 : length + 22 + size]
    whole = bool(found[2]) and len(head) == 18 and len(octets) == size
    name, cut = stream[1 : 1 + length], len(stream) > most
    return Block(Form.BINHEX, start, found.end(), name, octets[:most], whole, cut)


def _unpacked(packed: bytes, most: int) -> bytes:
    """Runs written out: an octet, 0x90 and how often it stands there; 0x90 0x00 is 0x90.

    Where there is more than `most`, it is one octet longer than that.
    """
    found, at = bytearray(), 0
    while (mark := packed.find(b"\x90", at)) >= 0:
        if len(found) > most:
            break
        found += packed[at:mark]
        count = packed[mark + 1] if mark + 1 < len(packed) else 0
        found += found[-1:] * (count - 1) if count else b"\x90"
        at = mark + 2
    found += packed[at : at + most + 1]
    del found[most + 1 :]
    return bytes(found)
