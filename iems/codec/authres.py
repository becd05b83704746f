"""Authentication-Results (RFC 8601): printing ours, recognising those that claim to be ours."""

from __future__ import annotations

import re

from iems.model.finding import Finding

NAME = b"Authentication-Results"
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
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
    """The id that a foreign field names, in lower case; `b""` where none can be read."""
    while (bare := _COMMENT.sub(b" ", value)) != value:
        value = bare
    first = value.partition(b";")[0].strip()
    quoted = _QUOTED.match(first)
    if quoted:
        return re.sub(rb"\\(.)", rb"\1", quoted.group(1)).lower()
    words = first.split()
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
