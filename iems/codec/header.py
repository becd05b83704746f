"""Header blocks (RFC 5322 section 2.2) as fields with offsets, whatever the bytes are.

It reads what mail in the wild does: bare LF, 8-bit bytes, fields without a colon, white space
before the colon. No input raises; a line that is no field ends up in the field before it or, at
the top, in a field without a name. Joining the fields' `raw` gives the block back.
"""

from __future__ import annotations

import re

from iems.model.message import Field, HeaderBlock

_FIELD = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_END = re.compile(rb"\n(\r?\n)")


def parse_header(raw: bytes) -> HeaderBlock:
    """The block as fields; `raw` holds no empty line."""
    seen: dict[bytes, int] = {}
    lines = (match for match in _FIELD.finditer(raw) if match.group())
    return HeaderBlock(raw, tuple(_field(one.group(), one.start(), seen) for one in lines))


def split_message(data: bytes) -> tuple[bytes, bytes]:
    """Header block with its last line end, and the rest, which begins with the empty line."""
    if data.startswith((b"\n", b"\r\n")):
        return b"", data
    match = _END.search(data)
    cut = len(data) if match is None else match.start(1)
    return data[:cut], data[cut:]


def unfold(value: bytes) -> bytes:
    """The value on one line, without the blanks around it (RFC 5322 section 2.2.3)."""
    return re.sub(rb"\r?\n(?=[ \t])", b"", value).strip()


def _field(raw: bytes, start: int, seen: dict[bytes, int]) -> Field:
    match = _NAME.match(raw)
    name = match.group(1) if match else b""
    value = raw[match.end() :] if match else raw
    key = name.lower()
    seen[key] = seen.get(key, 0) + 1
    return Field(raw, start, name, value.rstrip(b"\r\n"), seen[key])
