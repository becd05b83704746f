"""Octets of a text as characters, whatever charset they name or do not name.

Chinese is read in the largest of its charsets. Where no charset is named, or what it makes of the
octets is rubbish, they are UTF-8, else Chinese if many are beyond ASCII, else Latin; and where that
is rubbish, too, each octet is a character of its own, so that a classifier can learn those. No
octets raise, and the work is linear in their number.
"""

from __future__ import annotations

from iems.codec.encoded import codec

_SEVEN_BIT = ("iso2022", "hz", "utf_7", "utf_16")
"""Codecs for which octets of ASCII may be other letters."""

_LATIN = frozenset({"cp1252", "iso8859_15", "mac_roman"})
"""What mail in any charset says that it is; anything can be read as such."""

_ASCII = bytes(range(0x80))
_DENSE = 4
"""One in so many octets is beyond ASCII: in Latin writing there are fewer."""

_RUBBISH = 10
"""One in so many characters beyond ASCII cannot be read: it is another charset."""

_CUT = 3
"""Octets of a character whose last one is missing."""

RAW = 0xF700
"""Octets that are no text are characters from here on, which no charset has."""

_TO_RAW = {one: RAW + one for one in range(0x80, 0x100)}


def characters(octets: bytes, charset: str) -> str:
    """The octets as text; `charset` is what the message names, empty if none."""
    name = codec(charset) if charset else ""
    if octets.isascii() and not name.startswith(_SEVEN_BIT):
        return octets.decode("ascii")
    if name and name not in {"ascii", "utf_8"} and not (name in _LATIN and _dense(octets)):
        text = octets.decode(name, "replace")
        if not _rubbish(text):
            return text.encode("utf-8", "replace").decode("utf-8")  # without halves of characters
    return _guessed(octets)


def _guessed(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start and error.start + _CUT >= len(octets):
            return octets[: error.start].decode("utf-8")
    if not _dense(octets):
        text = octets.decode("utf-8", "replace")
        return octets.decode("cp1252", "replace") if _rubbish(text) else text
    for name in ("utf-8", "gb18030"):
        text = octets.decode(name, "replace")
        if not _rubbish(text):
            return text
    return octets.decode("latin-1").translate(_TO_RAW)


def _dense(octets: bytes) -> bool:
    return len(octets.translate(None, _ASCII)) * _DENSE > len(octets)


def _rubbish(text: str) -> bool:
    lost = text.count("\ufffd")
    return lost > 0 and lost * _RUBBISH > len(text) - len(text.encode("ascii", "ignore"))
