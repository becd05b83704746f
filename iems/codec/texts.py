"""The texts of a message: its parts text/plain and text/html (RFC 2045, RFC 2046), decoded.

This is no MIME tree. It looks into multiparts and forwarded messages, undoes the transfer encoding
and the charset as mail programs do, and passes over all other parts. A multipart that cannot be
taken apart is read as text, as it stands. No bytes raise, and the work is linear in their number:
at most `_DEPTH` levels are taken apart, each of which reads its bytes once.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from iems.codec.encoded import base64_pieces, codec
from iems.codec.header import parse_header, split_message, unfold
from iems.model.message import HeaderBlock

_DEPTH, _PARTS = 10, 200
"""Levels and parts that are looked at: honest mail has five and a few dozen."""

_HEAD, _VALUE, _BOUNDARY = 64 << 10, 2000, 200
"""Bytes of a part's header, of the value of a field, and of a boundary (RFC 2046 has 70)."""

_LINES = 2000
"""Lines of a multipart that begin as a delimiter does."""

_PARAMETER = re.compile(r";\s*+([^\s=;]++)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)\"|([^;\s]*+))")
_ESCAPED = re.compile(r"\\(.)")
_REST = re.compile(rb"(--)?[ \t]*+\r?(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Text:
    """One text and whether it is HTML."""

    text: str
    html: bool


def texts(header: bytes, body: bytes) -> Iterator[Text]:
    """The texts in the order in which they stand; `body` begins with the empty line."""
    parts = [(header, body, 0)]
    for _part in range(_PARTS):
        if not parts:
            return
        head, content, depth = parts.pop()
        block = parse_header(head[:_HEAD])
        kind, parameters = _content_type(block)
        inner = _inner(block, kind, parameters, content) if depth < _DEPTH else []
        parts += [(*split_message(one), depth + 1) for one in reversed(inner)]
        if not inner and kind.partition("/")[0] in {"text", "multipart", "message"}:
            octets = _decoded(block, content)
            yield Text(
                octets.decode(codec(parameters.get("charset", "")), "replace"), "html" in kind
            )


def _inner(block: HeaderBlock, kind: str, parameters: dict[str, str], body: bytes) -> list[bytes]:
    """The parts of this one; none where it is a leaf, or no delimiter is found."""
    if kind == "message/rfc822":
        return [_decoded(block, body).lstrip(b"\r\n")]
    boundary = parameters.get("boundary", "").encode("latin-1")
    if not kind.startswith("multipart/") or not 0 < len(boundary) <= _BOUNDARY:
        return []
    delimiter, found, start, at = b"\n--" + boundary, [], 0, -1
    for _line in range(_LINES):
        # The line end of one delimiter may be the one before the next.
        at = body.find(delimiter, max(start - 1, at + 1))
        if at < 0:
            break
        rest = _REST.match(body, at + len(delimiter))
        if rest is None:
            continue
        if start:
            found.append(body[start:at])
        start = rest.end()
        if rest[1]:
            return found
    return [*found, body[start:]] if start else found


def _content_type(block: HeaderBlock) -> tuple[str, dict[str, str]]:
    """Type and parameters, those of RFC 2231 put together; text/plain where there is none."""
    kind, _semicolon, rest = _value(block, b"content-type").partition(";")
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(";" + rest):
        value = found[3] if found[2] is None else _ESCAPED.sub(r"\1", found[2])
        name, star, section = found[1].lower().partition("*")
        if section.endswith("*") or (star and not section):
            value = value.rpartition("'")[2]
        if star:
            parameters[name] = parameters.get(name, "") + value
        else:
            parameters.setdefault(name, value)
    return kind.strip().lower() or "text/plain", parameters


def _decoded(block: HeaderBlock, body: bytes) -> bytes:
    """The body without its transfer encoding."""
    encoding = _value(block, b"content-transfer-encoding").partition(";")[0].strip().lower()
    if encoding == "base64":
        return base64_pieces(body)
    return binascii.a2b_qp(body) if encoding == "quoted-printable" else body


def _value(block: HeaderBlock, name: bytes) -> str:
    return "".join(
        unfold(field.value[:_VALUE]).decode("latin-1") for field in block.named(name)[:1]
    )
