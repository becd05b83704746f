"""Changes of a text within a part: its charset and its transfer encoding, and back.

Bytes of a charset that holds ASCII are taken as one letter each, so that what does not change need
not be understood. Where the charset cannot hold what is put in, the part becomes UTF-8 as a whole;
HTML never has to, for it can name any letter in ASCII. What can be put between the bytes as they
stand is; otherwise the body is encoded anew, as it was if that is right, or so that it is 7-bit.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from iems.codec.encoded import codec, writer
from iems.edits.edit import EditError
from iems.edits.fields import ended, set_charset, set_encoding
from iems.edits.place import Change, changed
from iems.mime.part import Part
from iems.mime.splice import Splice
from iems.mime.transfer import PLAIN, decode, encode, fitting, holds, line_end

_OPAQUE = frozenset(
    {"hz", "iso2022_jp_2", "iso2022_kr", "utf_7", "utf_16", "utf_16_be", "utf_16_le"}
)
"""Codecs of charsets whose bytes may look like ASCII and mean something else."""

_MARKS = ("\ufeff", "\u00ef\u00bb\u00bf")
"""A byte order mark, and that of UTF-8 one letter each."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")

Changes = Callable[[str, str, str], list[Change]]
"""Of a text, what is to be put into it, and a line end: what puts it there."""


@dataclass(frozen=True, slots=True)
class _View:
    """A text and what is to be put into it, in the letters of one codec."""

    text: str
    block: str
    codec: str
    charset: str | None = None
    """The charset that the part gets; None if it keeps its own."""


def edited(data: bytes, part: Part, block: str, changes: Changes) -> list[Splice]:
    """Splices for the changes of a text part; EditError where it cannot be read for sure."""
    raw = data[part.body : part.end]
    octets = _octets(part, raw)
    view = _view(part, octets, block)
    # With a lone CR somewhere, an LF that is put behind it would look like CRLF the next time.
    lone = "\r" in view.text and view.text.count("\r") != view.text.count("\r\n")
    wire = line_end(data if lone or b"\n" not in raw else raw)
    end = (wire if part.encoding != "base64" else b"\r\n").decode("ascii")
    end = _line_end(view.text) if "\n" in view.text and not lone else end
    skipped = next((len(mark) for mark in _MARKS if view.text.startswith(mark)), 0)
    found = [
        _apart(view.text, Change(start + skipped, stop + skipped, new))
        for start, stop, new in changes(view.text[skipped:], view.block, end)
    ]
    if not found:
        return []
    if view.codec == "latin_1" and part.encoding in PLAIN:
        news = [change.new.encode("latin_1") for change in found]
        if all(holds(part.encoding, new, wire) for new in news):
            return _between(data, part, found, news)
    return _anew(data, part, view, changed(view.text, found).encode(view.codec), wire)


def text_of(data: bytes, part: Part) -> bytes:
    """The octets of a text; EditError where readers may take them for different ones."""
    return _octets(part, data[part.body : part.end])


def _octets(part: Part, raw: bytes) -> bytes:
    if part.encoding == "base64":
        compact = raw.translate(None, b" \t\r\n")
        if len(compact) % 4 or not _BASE64.fullmatch(compact):
            raise EditError("its base64 is broken")
    return decode(part.encoding, raw)


def _apart(text: str, change: Change) -> Change:
    """The change with a blank where its LF would make a line end of the lone CR before it."""
    merges = change.new.startswith("\n") and text.endswith("\r", 0, change.start)
    return change._replace(new=f" {change.new}") if merges else change


def _between(data: bytes, part: Part, changes: list[Change], news: list[bytes]) -> list[Splice]:
    head = ended(data, part)
    return [
        Splice(part.body + change.start, part.body + change.end, head * (not place) + new)
        for place, (change, new) in enumerate(zip(changes, news, strict=True))
    ]


def _anew(data: bytes, part: Part, view: _View, octets: bytes, wire: bytes) -> list[Splice]:
    """The body encoded anew, and the fields that say how."""
    splices = set_charset(data, part, view.charset) if view.charset else []
    encoding = part.encoding
    if not holds(encoding, octets, wire):
        encoding = fitting(octets, wire)
        splices += set_encoding(data, part, encoding)
    body = encode(encoding, octets, wire)
    if (
        encoding == "base64"
        and part.end > part.body
        and not data.endswith(b"\n", part.body, part.end)
    ):
        body = body.removesuffix(wire)
    return [*splices, Splice(part.body, part.end, ended(data, part) + body)]


def _view(part: Part, octets: bytes, block: str) -> _View:
    html = part.content_type.word == "text/html"
    named = {name.decode("latin_1").strip().lower() for name in part.content_type.all("charset")}
    if len(named) > 1:
        raise EditError("its Content-Type names more than one charset")
    charset = named.pop() if named else "us-ascii"
    if codec(charset) in _OPAQUE:
        return _opaque(charset, octets, block, html=html)
    if b"\0" in octets:
        raise EditError("it holds zero bytes")
    ascii_only = block.encode("ascii", "xmlcharrefreplace") if html else None
    written = _written(charset, block) if ascii_only is None else ascii_only
    if written is not None:
        return _View(octets.decode("latin_1"), written.decode("latin_1"), "latin_1")
    if octets.isascii():
        return _View(octets.decode("ascii"), block, "utf_8", "utf-8")
    own = writer(charset)
    names = ("utf_8",) if own is None or own == "ascii" else (codec(charset), own)
    return _View(_read(octets, *names), block, "utf_8", "utf-8")


def _opaque(charset: str, octets: bytes, block: str, *, html: bool) -> _View:
    reader = codec(charset)
    if reader == "utf_16" and octets and not octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise EditError("its UTF-16 has no byte order mark")
    text = _read(octets, reader)
    if html:
        return _View(text, block.encode("ascii", "xmlcharrefreplace").decode("ascii"), reader)
    own = writer(charset)
    if own is not None and _encoded(own, text) is not None and _written(charset, block) is not None:
        return _View(text, block, own)
    return _View(text, block, "utf_8", "utf-8")


def _read(octets: bytes, *names: str) -> str:
    """The text by the first of these codecs that reads it."""
    for name in names:
        with contextlib.suppress(UnicodeDecodeError):
            return octets.decode(name)
    raise EditError("its bytes are none of its charset")


def _written(charset: str, block: str) -> bytes | None:
    """The block in this charset; None if the charset, or a reader that extends it, has another."""
    octets = _encoded(writer(charset) or "ascii", block)
    if octets is None or octets.decode(codec(charset), "replace") != block:
        return None
    return octets


def _encoded(name: str, text: str) -> bytes | None:
    try:
        return text.encode(name)
    except UnicodeEncodeError:
        return None


def _line_end(text: str) -> str:
    """That of the first line."""
    at = text.index("\n")
    return "\r\n" if at and text[at - 1] == "\r" else "\n"
