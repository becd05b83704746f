"""One more part: in the multipart/mixed that a message is, or in one that is made around it.

What was the body of the message stays the same bytes, with its MIME fields in front, so that a
signature over it holds.
"""

from __future__ import annotations

import hashlib
import re

from iems.edits.edit import EditError
from iems.edits.fields import added, ended, header
from iems.mime.defect import Defect
from iems.mime.part import Part
from iems.mime.splice import Splice
from iems.mime.transfer import encode, fitting, line_end

_EIGHT_BIT = re.compile(rb"\s*(8bit|binary)\s*", re.IGNORECASE)


def text_part(text: str, end: bytes) -> bytes:
    """A text as a part, header and body, which ends in a line end."""
    octets = text.replace("\n", end.decode("ascii")).encode() + end
    encoding = fitting(octets, end)
    lines = (
        b"Content-Type: text/plain; charset=" + (b"us-ascii" if text.isascii() else b"utf-8"),
        b"Content-Transfer-Encoding: " + encoding.encode("ascii"),
        b"Content-Disposition: inline",
        b"",
    )
    return end.join(lines) + end + encode(encoding, octets, end)


def with_part(data: bytes, root: Part, part: bytes, *, first: bool) -> list[Splice]:
    """The message with one more part, before all others or behind them."""
    if root.content_type.word == "multipart/mixed" and root.parts:
        return _in_mixed(data, root, part, first=first)
    return _around(data, root, part, first=first)


def has_part(data: bytes, root: Part, part: bytes, *, first: bool) -> bool:
    """Whether the message has had it before, at this end."""
    if root.content_type.word != "multipart/mixed" or not root.parts:
        return False
    there = root.parts[0 if first else -1]
    given = data[there.start : there.end].replace(b"\r\n", b"\n")
    return given == part.replace(b"\r\n", b"\n").removesuffix(b"\n")


def _in_mixed(data: bytes, root: Part, part: bytes, *, first: bool) -> list[Splice]:
    if any(found.defect is Defect.NO_END for found in root.defects):
        raise EditError("its last delimiter is missing")
    end = line_end(data)
    (start, stop), (last, _end) = root.delimiters[0], root.delimiters[-1]
    line = data[start:stop].strip()
    if first:
        return [Splice(stop, stop, part.removesuffix(end) + end + line + end)]
    return [Splice(last, last, end + line + end + part.removesuffix(end))]


def _around(data: bytes, root: Part, part: bytes, *, first: bool) -> list[Splice]:
    end, block = line_end(data), header(data, root)
    inner = [field for field in block.fields if field.key.startswith(b"content-")]
    boundary = b"=_" + hashlib.sha256(data).hexdigest()[:32].encode("ascii")
    lines = [b'Content-Type: multipart/mixed; boundary="' + boundary + b'"']
    encodings = [field.value for field in inner if field.key == b"content-transfer-encoding"]
    lines += [
        b"Content-Transfer-Encoding:" + value for value in encodings if _EIGHT_BIT.fullmatch(value)
    ]
    if not block.named(b"mime-version"):
        lines.insert(0, b"MIME-Version: 1.0")
    open_, close = b"--" + boundary + end, end + b"--" + boundary + b"--" + end
    before = (open_ + part if first else b"") + open_
    head = b"".join(field.raw for field in inner)
    behind = b"" if first else end + open_ + part.removesuffix(end)
    return [
        *(Splice(field.start, field.start + len(field.raw)) for field in inner),
        added(data, root, end.join(lines)),
        Splice(root.body, root.body, ended(data, root) + before + head + end),
        Splice(root.end, root.end, behind + close),
    ]
