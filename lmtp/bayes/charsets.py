"""Octets of a text as characters, whatever charset they name or do not name.

Chinese is read in the largest of its charsets. Where no charset is named, or where what it names
makes rubbish, it is UTF-8, else Chinese, else each octet is a character: a classifier learns those
as well. No octets raise.
"""

from __future__ import annotations

from iems.codec.encoded import codec

_SEVEN_BIT = ("iso2022", "hz", "utf_7", "utf_16")
"""Codecs for which ASCII octets may be other letters."""

_CUT = 4
"""Octets of the longest character: the last one may be cut."""

_RUBBISH = 10
"""One in so many characters that cannot be read: the octets are in another charset."""


def characters(octets: bytes, charset: str) -> str:
    """The octets as text; `charset` is what the message names, empty if none."""
    name = codec(charset) if charset else "ascii"
    if octets.isascii() and not name.startswith(_SEVEN_BIT):
        return octets.decode("ascii")
    if name not in {"ascii", "utf_8"}:
        text = octets.decode(name, "replace")
        if text.count("\ufffd") * _RUBBISH <= len(text):
            return text.encode("utf-8", "replace").decode("utf-8") if _odd(text) else text
    for guess in ("utf_8", "gb18030"):
        text = _strict(octets, guess)
        if text:
            return text
    text = octets.decode("utf-8", "replace")
    if text.count("\ufffd") * _RUBBISH <= len(text):
        return text
    return octets.decode("latin-1")


def _odd(text: str) -> bool:
    """Whether there are halves of characters in it, which no encoding writes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _strict(octets: bytes, name: str) -> str:
    try:
        return octets.decode(name)
    except UnicodeDecodeError as error:
        if error.start and error.start + _CUT >= len(octets):
            return octets[: error.start].decode(name)
        return ""
