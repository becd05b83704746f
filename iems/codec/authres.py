"""Authentication-Results (RFC 8601): printing ours, recognising those that claim to be ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iems.codec.header import unfold
from iems.model.address import AddressError, domain_name
from iems.model.finding import Finding

NAME = b"Authentication-Results"
_PIECE = re.compile(rb'\\.|[()";\\]|[^()";\\]+', re.DOTALL)
_BLANKS = re.compile(rb"[ \t]+")
_RESULT = re.compile(rb"\s*([A-Za-z0-9-]{1,40})(?:\s*/\s*\d+)?\s*=\s*([A-Za-z0-9-]{1,40})")
"""`method=result`, a version of the method between them (RFC 8601 section 2.2)."""

_TSPECIAL = re.compile(r"[()<>@,;:\\\"/\[\]?=]")
"""What ends a token (RFC 2045 section 5.1)."""

_MAX_ID = 1000
"""Characters: a host name has at most 253, four bytes each where it is UTF-8."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~:\[\]-]+")


def authentication_results(authserv_id: str, findings: tuple[Finding, ...]) -> bytes:
    """The field's value: one result a line for each finding whose check has a method here.

    Property values are a finding's evidence pairs that carry a `ptype.property` name.
    """
    results = [_result(finding) for finding in findings if finding.check in METHODS]
    lines = [authserv_id, *(results or ["none"])]
    return ";\r\n\t".join(lines).encode("ascii", "replace")


METHODS = frozenset({"arc", "dkim", "dmarc", "iprev", "spf"})
"""Checks that are methods of the IANA registry `Email Authentication Methods`."""


def authserv_id(value: bytes) -> bytes:
    """The id that a foreign field names, in lower case; `b""` where none can be read.

    It is what stands before the first semicolon, up to a blank.
    """
    return _BLANKS.split(unfold(next(_parts(value))), maxsplit=1)[0].lower()


def results(value: bytes) -> tuple[tuple[str, str], ...]:
    """Method and result of each part of a foreign field behind its id, both in lower case."""
    parts = _parts(value)
    next(parts)
    matches = (_RESULT.match(unfold(part)) for part in parts)
    return tuple(
        (one.group(1).decode().lower(), one.group(2).decode().lower()) for one in matches if one
    )


def claims(value: bytes, own: str) -> bool:
    """Whether a reader may take the foreign field for one under the authserv-id `own`.

    So it is where no id can be read, where UTF-8 stands for ours (RFC 8601 section 5), and where a
    reader finds ours who stops at what ends a token or drops a dot at the end.
    """
    found = authserv_id(value).decode("utf-8", "surrogateescape")
    return not {_host(found), _host(_TSPECIAL.split(found, maxsplit=1)[0])}.isdisjoint({own, ""})


def _parts(value: bytes) -> Iterator[bytes]:
    """What semicolons separate, without comments and quotes.

    One pass, however deep comments are nested (RFC 5322 section 3.2.2).
    """
    depth, quoted = 0, False
    bare: list[bytes] = []
    for piece in _PIECE.findall(value):
        if quoted or (piece == b'"' and not depth):
            quoted ^= piece == b'"'
            bare.append(piece.removeprefix(b"\\").strip(b'"'))
        elif piece in b"()":
            depth = max(0, depth + (1 if piece == b"(" else -1))
            bare.append(b" ")
        elif not depth and piece == b";":
            yield b"".join(bare)
            bare = []
        elif not depth:
            bare.append(piece)
    yield b"".join(bare)


def _host(text: str) -> str:
    """An id in the form in which host names are compared; empty where it is none for a reader."""
    if len(text) > _MAX_ID or any(letter < " " or letter == "\x7f" for letter in text):
        return ""
    if text.isascii():
        return text.rstrip(".")
    try:
        return domain_name(text)
    except AddressError:
        return ""


def _result(finding: Finding) -> str:
    words = [f"{finding.check}={finding.outcome}"]
    if finding.reason:
        quoted = finding.reason.replace("\\", "\\\\").replace('"', '\\"')
        words.append(f'reason="{quoted}"')
    for name, value in finding.evidence:
        if "." in name:
            words.append(f"{name}={value if _TOKEN.fullmatch(value) else _quote(value)}")
    return " ".join(words)


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
