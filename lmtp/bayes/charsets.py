"""Octets of a text as characters, whatever charset they name or do not name.

Chinese is read in the largest of its charsets. Where no charset is named, or what it makes of the
octets is rubbish, they are UTF-8, else Chinese if most of those beyond ASCII stand side by side,
else Latin; and where that is rubbish, too, each octet is a character of its own, so that a
classifier can learn those. No octets raise, and the work is linear in their number.
"""

from __future__ import annotations

import itertools
import re

from iems.codec.encoded import codec

_SEVEN_BIT = ("iso2022", "hz", "utf_7", "utf_16")
"""Codecs for which octets of ASCII may be other letters."""

_LATIN = frozenset({"cp1252", "iso8859_15", "mac_roman"})
"""What mail in any charset says that it is; anything can be read as such."""

_RUN = re.compile(rb"[\x80-\xff]+")
_RUNS, _WIDE = 1000, 3
"""Runs of octets beyond ASCII that are looked at: Latin writing hardly has any of three."""

_RUBBISH = 10
"""One in so many characters beyond ASCII cannot be read: it is another charset."""

_CUT = "unexpected end of data"
"""What Python says of a last character that is not whole."""

RAW = 0x2800
"""Octets that are no text are patterns of dots from here on, which no mail is written in."""

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
        if error.reason == _CUT:
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
    """Whether most of what is beyond ASCII stands side by side."""
    runs = [len(run[0]) for run in itertools.islice(_RUN.finditer(octets), _RUNS)]
    return 2 * sum(one for one in runs if one >= _WIDE) > sum(runs)


def _rubbish(text: str) -> bool:
    lost = text.count("\ufffd")
    return lost > 0 and lost * _RUBBISH > len(text) - len(text.encode("ascii", "ignore"))
