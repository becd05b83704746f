"""Where in plain text a block of lines goes, format=flowed (RFC 3676) included.

A block that stands where it belongs is not put there again. Of white space only ASCII is looked at:
the text may be bytes of any charset that holds ASCII, one letter each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iems.edits.place import Change, Place

_BLANKS = " \t\r\n"
_EMPTY_LINE = re.compile(r"(?:\A|\n)[ \t]*\r?\n\Z")
_FORWARDED = re.compile(
    r"^(?:-{3,}+[ \t]*+[^\s-][^\n]{0,60}?(?<!-)-{3,}+|_{20,}+)[ \t]*+\r?\n(?:[ \t]*+\r?\n)?"
    r"[^\s:]{2,20}(?: [^\s:]{1,20})?[ \t]?:[ \t]",
    re.MULTILINE | re.ASCII,
)
"""A line as `-----Original Message-----`, or of underscores, and header fields below it."""


def changes(
    text: str, block: str, place: Place, end: str, *, flowed: bool, renew: bool
) -> list[Change]:
    """What puts the block there; nothing where it is. `renew` takes other copies away.

    The block has LF at the end of its lines and no blanks around it.
    """
    lines = block.split("\n")
    written = end.join(map(_flowed, lines) if flowed else lines)
    before = (quotes(text) if place is Place.QUOTE else ()) or (len(text),)
    top = place is Place.TOP
    at = 0 if top else before[0]
    present = _present(text, written, None if top else before)
    copies = list(_copies(text, block)) if renew else []
    if present is not None:
        return [Change(*span, "") for span in copies if not span[0] <= present < span[1]]
    at = next((span[0] for span in copies if span[0] < at < span[1]), at)
    new = _framed(text, written, at, end, flowed=flowed)
    return sorted([*(Change(*span, "") for span in copies), Change(at, at, new)])


def quotes(text: str) -> tuple[int, ...]:
    """Where what is answered begins: with the lines that say whose it is, and without them."""
    if (forwarded := _FORWARDED.search(text)) is not None:
        return (forwarded.start(),)
    at, quote = len(text), None
    while at > 0:
        start = _above(text, at)
        if text.startswith(">", start):
            quote = start
        elif text[start:at].strip(_BLANKS):
            break
        at = start
    return () if quote is None else (_attributed(text, quote), quote)


def _flowed(line: str) -> str:
    """A line as a paragraph of its own in format=flowed (sections 4.2 and 4.4)."""
    fixed = line if line == "-- " else line.rstrip(" ")
    return f" {fixed}" if fixed.startswith((" ", ">", "From ")) else fixed


def _framed(text: str, written: str, at: int, end: str, *, flowed: bool) -> str:
    """The block with an empty line between it and the text."""
    gap = _gap(text, at, end, flowed=flowed)
    if not text.strip(_BLANKS):
        return gap + written + end
    return gap + written + (2 * end if at < len(text) else end if text.endswith("\n") else "")


def _gap(text: str, at: int, end: str, *, flowed: bool) -> str:
    """What makes an empty line before a place."""
    above = text[_above(text, at) : at]
    if at == 0 or (above.endswith("\n") and not above.strip(_BLANKS)):
        return ""
    soft = flowed and above.rstrip("\r\n").endswith(" ")  # the empty line ends its paragraph
    return end * (1 + soft + (not above.endswith("\n")))


def _present(text: str, written: str, before: Sequence[int] | None) -> int | None:
    """Where the block stands: at the top without `before`, else above one of these places."""
    if before is None:
        follows = text[len(written) : len(written) + 1]
        return 0 if text.startswith(written) and follows in {"", "\r", "\n"} else None
    bare = written.rstrip(_BLANKS)
    for at in before:
        start = len(text[:at].rstrip(_BLANKS)) - len(bare)
        whole = start == 0 or (start > 0 and text[start - 1] == "\n")
        if whole and text.startswith(bare, start):
            return start
    return None


def _copies(text: str, block: str) -> Iterator[tuple[int, int]]:
    """Where the block stands, quoted or not, however its lines are broken."""
    words = [re.escape(word) for word in re.split(r"[> \t\n]+", block) if word]
    pattern = r"^[> \t]*+" + r"[> \t\r\n]++".join(words) + r"[ \t]*(?:\r?\n|\Z)"
    for found in re.finditer(pattern, text, re.MULTILINE):
        yield found.span()


def _attributed(text: str, quote: int) -> int:
    """Where the line above a quote begins that says whose it is, if one does."""
    end = quote
    start = _above(text, end)
    if not text[start:end].strip(_BLANKS):
        end, start = start, _above(text, start)
    line = text[start:end].rstrip(_BLANKS)
    if not line.endswith(":"):
        return quote
    above = _above(text, start)
    dated = any(letter.isdigit() for letter in line)
    return start if dated or not text[above:start].strip(_BLANKS) else above


def _above(text: str, at: int) -> int:
    """Where the line that ends here begins."""
    return text.rfind("\n", 0, max(at - 1, 0)) + 1
