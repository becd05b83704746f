"""Unstructured header values as text: folds undone, encoded words (RFC 2047) decoded.

It reads what mail programs show and not what RFC 2047 allows: encoded words inside other words and
of any length, characters cut in two between words of one charset, base64 without its end. What
cannot be decoded becomes U+FFFD, control characters become blanks, and an unknown charset is read
as UTF-8. No bytes raise, and the work is linear in their number.
"""

from __future__ import annotations

import binascii
import itertools
import re
from collections.abc import Iterator

from iems.codec.header import unfold

_WORD = re.compile(rb"=\?([!->@-~]{1,64})\?([BbQq])\?([^?]*+)\?=")
"""Possessive: where the end is missing, nothing is tried again."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OTHERS = bytes(set(range(256)) - set(_ALPHABET))
PIECES = 100_000
"""Pieces of base64 with their padding that one body is put together of: it takes 0.1 s."""

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
_SURROGATES = range(0xD800, 0xE000)
_CLEAN = {**dict.fromkeys(_CONTROLS, " "), **dict.fromkeys(_SURROGATES, "\ufffd")}
_DROPPED: dict[int, str | None] = {**_CLEAN, **dict.fromkeys(_CONTROLS)}

_CODECS = {
    name: codec
    for codec, names in {
        "ascii": "us-ascii ascii",
        "big5hkscs": "big5 big5-hkscs",
        "cp1252": "iso-8859-1 latin1",
        "cp437": "ibm437 cp437",
        "cp850": "ibm850 cp850",
        "cp866": "ibm866 cp866",
        "cp874": "windows-874 tis-620 iso-8859-11",
        "cp932": "shift_jis shift-jis sjis x-sjis windows-31j cp932",
        "cp949": "euc-kr ks_c_5601-1987 ks_c_5601 cp949",
        "euc_jis_2004": "euc-jp",
        "gb18030": "gb2312 gbk gb18030 cp936 x-gbk",
        "iso2022_jp_2": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2",
        "iso2022_kr": "iso-2022-kr",
        "hz": "hz-gb-2312",
        "koi8_r": "koi8-r",
        "koi8_u": "koi8-u",
        "mac_roman": "macintosh x-mac-roman",
        "utf_7": "utf-7 unicode-1-1-utf-7",
        "utf_8": "utf-8 utf8",
        "utf_16": "utf-16",
        "utf_16_be": "utf-16be",
        "utf_16_le": "utf-16le",
        **{f"iso8859_{part}": f"iso-8859-{part}" for part in (*range(2, 11), *range(13, 17))},
        **{f"windows_125{page}": f"windows-125{page} cp125{page}" for page in range(9)},
    }.items()
    for name in names.split()
}
"""Charsets of mail; a superset stands in where mail programs take it for one. Others are not looked
up: Python keeps each name it was asked for, and some of its codecs are slow or no charsets."""

_WRITERS = {
    name: codec
    for codec, names in {
        "big5": "big5",
        "euc_jp": "euc-jp",
        "euc_kr": "euc-kr ks_c_5601-1987 ks_c_5601",
        "gb2312": "gb2312",
        "gbk": "gbk cp936 x-gbk",
        "iso2022_jp": "iso-2022-jp",
        "iso8859_11": "tis-620 iso-8859-11",
        "latin_1": "iso-8859-1 latin1",
        "shift_jis": "shift_jis shift-jis sjis x-sjis",
    }.items()
    for name in names.split()
}
"""Charsets that are read as a superset, and what they themselves hold."""


def codec(charset: str) -> str:
    """The codec that reads this charset."""
    return _CODECS.get(charset.lower(), "utf_8")


def writer(charset: str) -> str | None:
    """The codec that writes this charset and nothing beyond it; None where nobody knows it."""
    name = charset.lower()
    return _WRITERS.get(name) or _CODECS.get(name)


def text(value: bytes) -> str:
    """The value on one line, 8-bit bytes as UTF-8 (RFC 6532), encoded words as they stand."""
    return unfold(value).decode("utf-8", "replace").translate(_CLEAN)


def decoded(value: bytes) -> str:
    """The value on one line as a mail program shows it."""
    return _letters(value).translate(_CLEAN)


def readings(value: bytes) -> tuple[str, ...]:
    """As `decoded`, then as others read control characters: not at all, or a NUL as the end."""
    letters = _letters(value)
    return letters.translate(_CLEAN), letters.translate(_DROPPED), *_ended(letters)


def _ended(letters: str) -> Iterator[str]:
    before, nul, _behind = letters.partition("\0")
    if nul:
        yield before.translate(_CLEAN)


def _letters(value: bytes) -> str:
    runs = itertools.groupby(_pieces(unfold(value)), key=lambda piece: piece[0])
    return "".join(
        b"".join(octets for _name, octets in run).decode(name, "replace") for name, run in runs
    )


def _pieces(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Codec and bytes of what stands there, one after the other."""
    end = 0
    for word in _WORD.finditer(value):
        between = value[end : word.start()]
        if not between.isspace():  # blanks between words are none of the text (section 6.2)
            yield "utf_8", between
        charset, encoding, payload = word.group(1, 2, 3)
        name = charset.partition(b"*")[0].decode("ascii")  # RFC 2231 section 5: a language
        yield codec(name), _octets(encoding, payload)
        end = word.end()
    yield "utf_8", value[end:]


def base64_octets(payload: bytes) -> bytes:
    """The bytes of base64 without padding; what is no letter of it is passed over."""
    letters = payload.translate(None, _OTHERS)
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def base64_pieces(body: bytes) -> bytes:
    """The bytes of base64 that may be put together of pieces, each with its padding."""
    return b"".join(map(base64_octets, body.split(b"=", PIECES)))


def _octets(encoding: bytes, payload: bytes) -> bytes:
    if encoding in b"Qq":
        return binascii.a2b_qp(payload, header=True)
    return base64_octets(payload.partition(b"=")[0])
