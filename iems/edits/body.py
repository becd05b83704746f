"""Changes of a text within a part: its charset and its transfer encoding, and back.

Bytes of a charset that holds ASCII are taken as one letter each, so that what does not change need
not be understood. Where the charset cannot hold what is put in, the part becomes UTF-8 as a whole;
HTML never has to, for it can name any letter in ASCII. What can be put between the bytes as they
stand is; otherwise the body is encoded anew, as it was if that is right, or so that it is 7-bit.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from iems.codec.encoded import codec, writer
from iems.edits.edit import EditError
from iems.edits.fields import ended, set_charset, set_encoding
from iems.edits.place import Change, changed
from iems.mime.part import Part
from iems.mime.splice import Splice, apply
from iems.mime.transfer import PLAIN, decode, encode, fitting, holds, line_end, quoted_lines

_OPAQUE = frozenset(
    {"hz", "iso2022_jp_2", "iso2022_kr", "utf_7", "utf_16", "utf_16_be", "utf_16_le"}
)
"""Codecs of charsets whose bytes may look like ASCII and mean something else."""

_MARKS = ("\ufeff", "\u00ef\u00bb\u00bf")
"""A byte order mark, and that of UTF-8 one letter each."""

_ODD_QUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z))")
"""In quoted-printable: what stands for nothing, and for readers for different things."""

Changes = Callable[[str, str, str], list[Change]]
"""Of a text, what is to be put into it, and a line end: what puts it there."""


@dataclass(frozen=True)
class Text:
    """A part that is a text."""

    data: bytes
    part: Part

    @cached_property
    def raw(self) -> bytes:
        """Its body as it stands."""
        return self.data[self.part.body : self.part.end]

    @cached_property
    def octets(self) -> bytes:
        """Its body decoded; EditError where readers may take it for different ones."""
        if self.part.encoding == "base64":
            try:
                return binascii.a2b_base64(self.raw.translate(None, b" \t\r\n"), strict_mode=True)
            except binascii.Error:
                raise EditError("its base64 is broken") from None
        return decode(self.part.encoding, self.raw)


@dataclass(frozen=True, slots=True)
class _View:
    """A text and what is to be put into it, in the letters of one codec."""

    text: str
    block: str
    codec: str
    charset: str | None = None
    """The charset that the part gets; None if it keeps its own."""


def edited(body: Text, block: str, changes: Changes) -> list[Splice]:
    """Splices for the changes of a text; EditError where it cannot be read for sure."""
    part, view = body.part, _view(body.part, body.octets, block)
    wire, end = _line_ends(body, view.text)
    skipped = next((len(mark) for mark in _MARKS if view.text.startswith(mark)), 0)
    found = [
        _apart(view.text, Change(start + skipped, stop + skipped, new))
        for start, stop, new in changes(view.text[skipped:], view.block, end.decode("ascii"))
    ]
    if not found:
        return []
    if view.codec == "latin_1":
        news = [change.new.encode("latin_1") for change in found]
        if part.encoding in PLAIN and all(holds(part.encoding, new, wire) for new in news):
            return _between(body, found, news)
        if part.encoding == "quoted-printable":
            return _in_lines(body, found, news, wire)
    return _anew(body, view, changed(view.text, found).encode(view.codec), wire)


def _line_ends(body: Text, text: str) -> tuple[bytes, bytes]:
    """The line end that the body gets as it stands, and that of its text.

    They are its own, but those of the message where a CR without LF is somewhere: an LF that is put
    behind it would look like CRLF the next time.
    """
    base64 = body.part.encoding == "base64"
    whole = line_end(body.data)
    wire = line_end(body.raw) if b"\n" in body.raw else whole
    end = _line_end(text) if "\n" in text else b"\r\n" if base64 else wire
    others = whole, b"\r\n" if base64 else whole
    lone = (wire, end) != others and text.count("\r") != text.count("\r\n")
    return others if lone else (wire, end)


def _apart(text: str, change: Change) -> Change:
    """The change with a blank where its LF would make a line end of the lone CR before it."""
    merges = change.new.startswith("\n") and text.endswith("\r", 0, change.start)
    return change._replace(new=f" {change.new}") if merges else change


def _between(body: Text, changes: list[Change], news: list[bytes]) -> list[Splice]:
    head, at = ended(body.data, body.part), body.part.body
    return [
        Splice(at + change.start, at + change.end, head * (not place) + new)
        for place, (change, new) in enumerate(zip(changes, news, strict=True))
    ]


def _in_lines(body: Text, changes: list[Change], news: list[bytes], wire: bytes) -> list[Splice]:
    """The lines of quoted-printable that hold the changes encoded anew."""
    octets, base = body.octets, body.part.body
    lines = quoted_lines(body.raw, octets, changes[0].start, changes[-1].end, wire)
    splices = [
        Splice(change.start - lines.first, change.end - lines.first, new)
        for change, new in zip(changes, news, strict=True)
    ]
    made = encode("quoted-printable", apply(octets[lines.first : lines.last], splices), wire)
    head = ended(body.data, body.part)
    return [Splice(base + lines.start, base + lines.end, head + made)]


def _anew(body: Text, view: _View, octets: bytes, wire: bytes) -> list[Splice]:
    """The body encoded anew, and the fields that say how."""
    data, part = body.data, body.part
    if part.encoding == "quoted-printable" and _ODD_QUOTED.search(body.raw):
        raise EditError("its quoted-printable is broken")
    splices = set_charset(data, part, view.charset) if view.charset else []
    encoding = part.encoding
    if not holds(encoding, octets, wire):
        encoding = fitting(octets, wire)
        splices += set_encoding(data, part, encoding)
    made = encode(encoding, octets, wire)
    if (
        encoding == "base64"
        and part.end > part.body
        and not data.endswith(b"\n", part.body, part.end)
    ):
        made = made.removesuffix(wire)
    return [*splices, Splice(part.body, part.end, ended(data, part) + made)]


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


def _line_end(text: str) -> bytes:
    """That of the first line."""
    at = text.index("\n")
    return b"\r\n" if at and text[at - 1] == "\r" else b"\n"
