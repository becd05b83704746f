"""Rules out of their texts: TOML as people write it, JSON as programs do.

All faults are reported together, each with its rule, its line where the text is TOML, and what is
expected. In the name of a key the items of a list count from 1. Any bytes are rules or a
`MailsortError`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from sieve.diagnostic import Diagnostic, Severity
from sieve.mailsort import places
from sieve.mailsort.kinds import MOST_FAULTS, Faults, Path, shown
from sieve.mailsort.language import MAILSORT
from sieve.mailsort.rule import Mailsort

MOST_OCTETS = 2 << 20
"""Of a text: 10,000 rules of 150 octets take 1.5 MB, and Pigeonhole takes a script of 1 MB."""
_WHERE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


class MailsortError(ValueError):
    """The text holds no rules; the remarks say where and why."""

    def __init__(self, remarks: tuple[Diagnostic, ...]) -> None:
        super().__init__("\n".join(map(str, remarks)))
        self.remarks = remarks


def read_toml(data: bytes) -> Mailsort:
    """The rules in a TOML text."""
    text = _text(data)
    refused = places.too_much(text)
    if refused:
        raise _error(refused[1], refused[0])
    try:
        value = tomllib.loads(text)
    except ValueError as error:
        reason = str(error)
        found = _WHERE.search(reason)
        line = int(found[1] or text.count("\n") + 1) if found else 0
        raise _error(f"{_WHERE.sub('', reason)}; expected TOML", line) from None
    try:
        return MAILSORT.read(value, ())
    except Faults as faults:
        wanted = (path for path, _problem in faults.faults)
        raise _told(faults, value, places.lines(text, wanted)) from None


def read_json(data: bytes) -> Mailsort:
    """The rules in a JSON text."""
    text = _text(data)
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _error(f"{error.msg}; expected JSON", error.lineno) from None
    except ValueError as error:
        raise _error(f"{error}; expected JSON") from None
    except RecursionError:
        raise _error("is nested too deeply; expected JSON of rules") from None
    try:
        return MAILSORT.read(value, ())
    except Faults as faults:
        raise _told(faults, value, {}) from None


def check(mailsort: Mailsort) -> None:
    """MailsortError if rules that were made otherwise are none that a text could hold."""
    try:
        plain = MAILSORT.write(mailsort)
    except ValueError as error:
        raise _error(str(error)) from None
    try:
        MAILSORT.read(plain, ())
    except Faults as faults:
        raise _told(faults, plain, {}) from None


def _text(data: bytes) -> str:
    if len(data) > MOST_OCTETS:
        raise _error(f"{len(data)} octets of text; expected at most {MOST_OCTETS}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error("is not UTF-8; expected text in UTF-8", line) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} stands twice in an object")
        found[key] = value
    return found


def _error(message: str, line: int = 0) -> MailsortError:
    return MailsortError((Diagnostic(Severity.ERROR, message, line=line),))


def _told(faults: Faults, value: object, lines: Mapping[Path, int]) -> MailsortError:
    remarks = [
        Diagnostic(Severity.ERROR, *_named(path, problem, value), _line(path, lines))
        for path, problem in faults.faults[:MOST_FAULTS]
    ]
    if len(faults.faults) >= MOST_FAULTS:
        remarks.append(Diagnostic(Severity.ERROR, "there may be more faults than these"))
    return MailsortError(tuple(remarks))


def _named(path: Path, problem: str, value: Any) -> tuple[str, str]:  # noqa: ANN401 - a text's
    """The message, and the name of the rule; a rule without one is called by its number."""
    what, rule = "the text", ""
    match path:
        case ("rule", int(at), *inner):
            what, rule, path = "the rule", f"#{at + 1}", tuple(inner)
            match value["rule"][at]:
                case {"name": str(name)} if name and name.isprintable():
                    rule = name[:200]
    key = "".join(f"[{one + 1}]" if isinstance(one, int) else f".{one[:60]}" for one in path)
    return f"{key.lstrip('.') or what} {problem}", rule


def _line(path: Path, lines: Mapping[Path, int]) -> int:
    """Of the value, or of what it stands in, where it is missing."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 0)
