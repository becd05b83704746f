"""Header blocks (RFC 5322 section 2.2) as fields with offsets, whatever the bytes are.

It reads what mail in the wild does: bare LF, 8-bit bytes, fields without a colon, white space
before the colon. No input raises; a line that is no field ends up in the field before it or, at
the top, in a field without a name. Joining the fields' `raw` gives the block back.
"""

from __future__ import annotations

import re

from iems.model.message import Field, HeaderBlock

_FIELD = re.compile(rb"(?:([!-9;-~]+)[ \t]*:)?([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_FOLD = re.compile(rb"\n(?=[ \t])|\r\n(?=[ \t])")
_END = re.compile(rb"\n(\r?\n)")


def parse_header(raw: bytes) -> HeaderBlock:
    """The block as fields; `raw` holds no empty line."""
    seen: dict[bytes, int] = {}
    fields: list[Field] = []
    for match in _FIELD.finditer(raw):
        whole, name, value = match.group(0, 1, 2)
        if not whole:
            break
        name = name or b""
        key = name.lower()
        occurrence = seen[key] = seen.get(key, 0) + 1
        fields.append(Field(whole, match.start(), name, key, value.rstrip(b"\r\n"), occurrence))
    return HeaderBlock(raw, tuple(fields))


def split_message(data: bytes) -> tuple[bytes, bytes]:
    """Header block with its last line end, and the rest, which begins with the empty line."""
    if data.startswith((b"\n", b"\r\n")):
        return b"", data
    match = _END.search(data)
    cut = len(data) if match is None else match.start(1)
    return data[:cut], data[cut:]


def unfold(value: bytes) -> bytes:
    """The value on one line, without the blanks around it (RFC 5322 section 2.2.3)."""
    return (_FOLD.sub(b"", value) if b"\n" in value else value).strip()
