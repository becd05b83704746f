"""Rules as texts: pleasant TOML for people, JSON for programs. Equal rules give equal texts, and
what is written is read back to the same rules."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sieve.mailsort.language import MAILSORT
from sieve.mailsort.rule import Mailsort

_WIDTH = 100
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_json(mailsort: Mailsort) -> str:
    """JSON on one line; dates and times are texts in it."""
    plain = MAILSORT.write(mailsort)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=_iso) + "\n"


def _iso(value: datetime.date | datetime.time) -> str:
    return value.isoformat()


def to_toml(mailsort: Mailsort) -> str:
    """TOML: a table for each rule, with what fits on a line on one."""
    plain: Any = MAILSORT.write(mailsort)
    tables = [("[[rule]]", one) for one in plain.get("rule", ())]
    if "vacation" in plain:
        tables.append(("[vacation]", plain["vacation"]))
    return "\n".join("\n".join((head, *_pairs(table), "")) for head, table in tables)


def _pairs(table: Mapping[str, object]) -> Iterator[str]:
    for key, value in table.items():
        value = [value] if key == "then" and not isinstance(value, list) else value
        yield _pair(key, value, "")


def _pair(key: str, value: object, indent: str) -> str:
    """`key = value`; a table of one key is none of its own: `from.is = "x"`."""
    name = key if _BARE.fullmatch(key) else _line(key)
    if isinstance(value, dict) and len(value) == 1:
        ((inner, value),) = value.items()
        return f"{name}.{_pair(inner, value, indent)}"
    return f"{name} = {_value(value, indent, len(indent) + len(name) + 3)}"


def _value(value: object, indent: str, at: int) -> str:
    """A value that begins in column `at`; what it puts on other lines is `indent` further in."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case str():
            return _block(value) if "\n" in value else _line(value)
        case dict():
            return f"{{ {', '.join(_pair(key, one, indent) for key, one in value.items())} }}"
        case list():
            return _list(value, indent, at)
    raise TypeError(f"{value!r} has no form in TOML")


def _list(values: list[object], indent: str, at: int) -> str:
    inner = f"{indent}  "
    written = [_value(one, inner, len(inner)) for one in values]
    short = (
        f"[ {', '.join(written)} ]"
        if any(isinstance(one, dict) for one in values)
        else (f"[{', '.join(written)}]")
    )
    if at + len(short) <= _WIDTH and "\n" not in short:
        return short
    return "\n".join(["[", *(f"{inner}{one}," for one in written), f"{indent}]"])


def _line(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _block(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', '""\\"')
    if escaped.endswith('"'):
        escaped = f'{escaped[:-1]}\\"'
    return f'"""\n{escaped}"""'
