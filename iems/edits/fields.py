"""Splices for the MIME fields of a part: its charset, its transfer encoding.

A field that stands there gets another value; all else of the header stays as it is.
"""

from __future__ import annotations

import re

from iems.codec.header import parse_header
from iems.edits.edit import EditError
from iems.mime.part import Part
from iems.mime.splice import Splice
from iems.mime.transfer import line_end
from iems.model.message import Field, HeaderBlock

_CHARSET = re.compile(rb"(;\s*charset\s*=\s*)(?:\"[^\"\\]*\"|[^\s;\"]+)", re.IGNORECASE)
_WORD = re.compile(rb"charset", re.IGNORECASE)
_TYPE = re.compile(rb"\s*[^\s;]+")


def header(data: bytes, part: Part) -> HeaderBlock:
    """The fields of a part."""
    return parse_header(data[part.start : _end(data, part)])


def ended(data: bytes, part: Part) -> bytes:
    """What has to stand before its body so that its header ends: nothing, as a rule."""
    return b"" if _empty_line(data, part) else line_end(data)


def set_charset(data: bytes, part: Part, charset: str) -> list[Splice]:
    """The charset of a text; EditError where the field cannot be read in one way."""
    name, block = charset.encode("ascii"), header(data, part)
    splices = [
        _changed(part, field, _with_charset(field.value, name))
        for field in block.named(b"content-type")
    ]
    if not splices and not part.start and not block.named(b"mime-version"):
        splices.append(added(data, part, b"MIME-Version: 1.0"))
    if not block.named(b"content-type"):
        kind = part.content_type.word.encode("ascii")
        splices.append(added(data, part, b"Content-Type: " + kind + b"; charset=" + name))
    return splices


def set_encoding(data: bytes, part: Part, encoding: str) -> list[Splice]:
    """The transfer encoding of a part."""
    value = b" " + encoding.encode("ascii")
    fields = header(data, part).named(b"content-transfer-encoding")
    return [_changed(part, field, value) for field in fields] or [
        added(data, part, b"Content-Transfer-Encoding:" + value)
    ]


def added(data: bytes, part: Part, line: bytes) -> Splice:
    """One more field behind those of the part."""
    at = _end(data, part)
    return Splice(at, at, line + line_end(data))


def _with_charset(value: bytes, name: bytes) -> bytes:
    named = len(_WORD.findall(value))
    if not named:
        return _TYPE.sub(rb"\g<0>; charset=" + name, value, count=1)
    changed, found = _CHARSET.subn(rb"\g<1>" + name, value)
    if found != named:
        raise EditError("its Content-Type names the charset in an odd way")
    return changed


def _changed(part: Part, field: Field, value: bytes) -> Splice:
    start = part.start + field.start + field.raw.index(b":") + 1
    return Splice(start, start + len(field.value), value)


def _end(data: bytes, part: Part) -> int:
    """Where the fields end: before the empty line, if there is one."""
    return part.body - len(_empty_line(data, part))


def _empty_line(data: bytes, part: Part) -> bytes:
    head = data[part.start : part.body]
    ends = (b"\r\n", b"\n")
    return next((end for end in ends if head == end or head.endswith(b"\n" + end)), b"")
