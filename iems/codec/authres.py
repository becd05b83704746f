"""Authentication-Results (RFC 8601): printing ours, recognising those that claim to be ours."""

from __future__ import annotations

import re

from iems.model.finding import Finding

NAME = b"Authentication-Results"
_PIECE = re.compile(rb'\\.|[()";\\]|[^()";\\]+', re.DOTALL)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~:\[\]-]+")


def authentication_results(authserv_id: str, findings: tuple[Finding, ...]) -> bytes:
    """The field's value: one result a line for each finding whose check has a method here.

    Property values are a finding's evidence pairs that carry a `ptype.property` name.
    """
    results = [_result(finding) for finding in findings if finding.check in METHODS]
    lines = [authserv_id, *(results or ["none"])]
    return ";\r\n\t".join(lines).encode("ascii", "replace")


METHODS = frozenset({"iprev"})
"""Checks that are methods of the IANA registry `Email Authentication Methods`."""


def authserv_id(value: bytes) -> bytes:
    """The id that a foreign field names, in lower case; `b""` where none can be read.

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
        elif not depth:
            if piece == b";":
                break
            bare.append(piece)
    words = b"".join(bare).split()
    return words[0].lower() if words else b""


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
