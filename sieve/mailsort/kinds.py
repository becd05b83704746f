"""Kinds of values: each says once how it is read, written and described by a JSON Schema.

A value is what TOML and JSON have in common, and TOML's dates and times. All faults of a value are
reported together (`Faults`), each with the path of what is wrong and what is expected there.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
S = TypeVar("S")
Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices, from the top of a text to a value."""
Schema: TypeAlias = dict[str, Any]

_SHOWN = 60
"""Characters of a wrong value that an error shows."""
_LARGE = 10**20
_CONTROL = re.compile(r"[\0-\x08\n-\x1f\x7f\ud800-\udfff]")
"""Control characters of ASCII but TAB, and halves of surrogates, which are no characters."""
_REQUIRED = object()
MOST_FAULTS = 100
"""Of one text: after that many nothing more is looked for."""
MOST_VALUES = 1000
"""Of one test or action: what a person writes has tens, and an importer's list hundreds."""


class Faults(Exception):  # noqa: N818 - several of them, as a rule
    """What is wrong: pairs of the path of a value, and what it is and should be."""

    def __init__(self, *faults: tuple[Path, str]) -> None:
        super().__init__(faults)
        self.faults = faults


@dataclass(frozen=True)
class Kind(Generic[T]):
    """`read` raises `Faults`; what `write` gives is read back to the same value.

    A value that no text could hold is written to what is not read, or is a ValueError.
    """

    expected: str
    read: Callable[[object, Path], T]
    write: Callable[[T], object]
    schema: Schema


def unfit(value: object, path: Path, expected: str) -> Faults:
    """One fault: what stands there, and what is expected."""
    return Faults((path, f"is {shown(value)}; expected {expected}"))


def shown(value: object) -> str:
    """A value as an error shows it, cut short."""
    if isinstance(value, Mapping):
        return f"a table with {', '.join(map(shown, list(value)[:3])) or 'nothing'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) > _LARGE:
        return "a number of many digits"
    text = json.dumps(value[: _SHOWN + 1] if isinstance(value, str) else value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def leaf(
    expected: str, parse: Callable[[object], T], write: Callable[[T], object], schema: Schema
) -> Kind[T]:
    """A value without others in it; `parse` raises ValueError, with a reason or without."""

    def read(value: object, path: Path) -> T:
        try:
            return parse(value)
        except ValueError as error:
            raise unfit(value, path, str(error) or expected) from None

    return Kind(expected, read, write, schema)


def text(
    expected: str,
    most: int,
    *,
    lines: bool = False,
    empty: bool = False,
    check: Callable[[str], str] = str,
    schema: Schema | None = None,
) -> Kind[str]:
    """A text of at most so many characters, of one line if not said otherwise.

    `check` gives the form in which it is kept, or raises ValueError.
    """

    def parse(value: object) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise ValueError
        if len(value) > most:
            raise ValueError(f"at most {most} characters, and there are {len(value)}")
        found = value.replace("\r\n", "\n") if lines else value
        if _CONTROL.search(found.replace("\n", "") if lines else found):
            raise ValueError(f"{expected}, without control characters")
        return check(found)

    described = {"type": "string", "maxLength": most, **({} if empty else {"minLength": 1})}
    return leaf(expected, parse, str, {**described, **(schema or {})})


def number(low: int, high: int) -> Kind[int]:
    """A whole number, both bounds included."""
    expected = f"a number from {low} to {high}"

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return leaf(expected, parse, int, {"type": "integer", "minimum": low, "maximum": high})


def truth() -> Kind[bool]:
    """`true` or `false`."""

    def parse(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return leaf("true or false", parse, bool, {"type": "boolean"})


def word(words: Mapping[str, T]) -> Kind[T]:
    """One of these words."""
    expected = f"one of {', '.join(words)}"

    def parse(value: object) -> T:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"{expected}{_meant(value, words)}")
        return words[value]

    def write(value: T) -> object:
        return next((name for name, meaning in words.items() if meaning == value), str(value))

    return leaf(expected, parse, write, {"enum": list(words)})


def _meant(value: object, known: Sequence[str] | Mapping[str, object]) -> str:
    near = difflib.get_close_matches(value[:_SHOWN], known, 1) if isinstance(value, str) else []
    return f"; did you mean {near[0]}?" if near else ""


def some(kind: Kind[T], least: int = 1) -> Kind[tuple[T, ...]]:
    """One value, or a list of several."""
    listed = many(kind, MOST_VALUES, least)

    def read(value: object, path: Path) -> tuple[T, ...]:
        return listed.read(value, path) if isinstance(value, list) else (kind.read(value, path),)

    def write(values: tuple[T, ...]) -> object:
        return kind.write(values[0]) if len(values) == 1 else listed.write(values)

    return Kind(f"{kind.expected}, or a list", read, write, {"anyOf": [kind.schema, listed.schema]})


def many(kind: Kind[T], most: int, least: int = 1) -> Kind[tuple[T, ...]]:
    """A list, even of one."""
    expected = f"a list of {least} to {most}, each of them {kind.expected}"

    def read(value: object, path: Path) -> tuple[T, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise unfit(value, path, expected)
        return tuple(gathered((kind.read, one, (*path, at)) for at, one in enumerate(value)))

    def write(values: tuple[T, ...]) -> object:
        return [kind.write(one) for one in values]

    schema = {"type": "array", "items": kind.schema, "minItems": least, "maxItems": most}
    return Kind(expected, read, write, schema)


def gathered(readings: Any) -> list[Any]:  # noqa: ANN401 - of triples of what differs in type
    """The values of `(read, value, path)`, or their faults."""
    found: list[Any] = []
    faults: list[tuple[Path, str]] = []
    for read, value, path in readings:
        try:
            found.append(read(value, path))
        except Faults as error:
            faults += error.faults
            if len(faults) >= MOST_FAULTS:
                break
    if faults:
        raise Faults(*faults)
    return found


@dataclass(frozen=True)
class Field:
    """A key of a table that is not the only one in it: its attribute, and what it is for."""

    kind: Kind[Any]
    doc: str
    attribute: str
    default: object = _REQUIRED

    @property
    def required(self) -> bool:
        """Whether it has to be there."""
        return self.default is _REQUIRED


def table(fields: Mapping[str, Field], make: Callable[..., T]) -> Kind[T]:
    """A table of these keys; `make` gets them as attributes, and may raise ValueError."""
    expected = f"a table with {', '.join(one for one in fields if fields[one].required)}"

    def read(value: object, path: Path) -> T:
        if not isinstance(value, dict):
            raise unfit(value, path, expected)
        unknown = [
            ((*path, key), f"is no key here; expected {listed(fields)}{_meant(key, fields)}")
            for key in islice((key for key in value if key not in fields), MOST_FAULTS)
        ]
        missing = [
            (path, f"has no {key}; expected {one.kind.expected}")
            for key, one in fields.items()
            if one.required and key not in value
        ]
        here = [key for key in fields if key in value]
        try:
            found = gathered((fields[key].kind.read, value[key], (*path, key)) for key in here)
        except Faults as error:
            raise Faults(*unknown, *missing, *error.faults) from None
        if unknown or missing:
            raise Faults(*unknown, *missing)
        attributes = {fields[key].attribute: one for key, one in zip(here, found, strict=True)}
        try:
            return make(**attributes)
        except ValueError as error:
            raise Faults((path, str(error))) from None

    def write(value: T) -> object:
        found = {key: getattr(value, one.attribute) for key, one in fields.items()}
        return {
            key: fields[key].kind.write(one)
            for key, one in found.items()
            if fields[key].default != one
        }

    schema = {
        "type": "object",
        "properties": {key: described(one.kind.schema, one.doc) for key, one in fields.items()},
        "required": [key for key, one in fields.items() if one.required],
        "additionalProperties": False,
    }
    return Kind(expected, read, write, schema)


@dataclass(frozen=True)
class Case(Generic[T]):
    """A key that stands alone in its table: its kind, and the way from its value and back.

    `take` gives None where the whole is of another case.
    """

    kind: Kind[Any]
    doc: str
    make: Callable[[Any], T]
    take: Callable[[T], object]


def one_of(
    what: str, cases: Mapping[str, Case[T]], words: Mapping[str, T] | None = None
) -> Kind[T]:
    """A table of one of these keys, or one of the words."""
    alone = words or {}
    known = [*alone, *cases]
    expected = f"{what}: {listed(known)}"

    def read(value: object, path: Path) -> T:
        if isinstance(value, str) and value in alone:
            return alone[value]
        if isinstance(value, str) or not isinstance(value, dict):
            raise unfit(value, path, f"{expected}{_meant(value, known)}")
        unknown = [key for key in value if key not in cases]
        if unknown:
            key = unknown[0]
            raise Faults(((*path, key), f"is no key here; expected {expected}{_meant(key, cases)}"))
        if len(value) != 1:
            raise unfit(value, path, f"{what} with one key alone")
        ((key, inner),) = value.items()
        made: T = cases[key].make(cases[key].kind.read(inner, (*path, key)))
        return made

    def write(value: T) -> object:
        for name, meaning in alone.items():
            if meaning == value:
                return name
        for key, one in cases.items():
            inner = one.take(value)
            if inner is not None:
                return {key: one.kind.write(inner)}
        raise ValueError(f"{value!r} has no form; expected {expected}")

    schemas: list[Schema] = [
        {
            "type": "object",
            "properties": {key: described(one.kind.schema, one.doc)},
            "required": [key],
            "additionalProperties": False,
        }
        for key, one in cases.items()
    ]
    if alone:
        schemas.append({"enum": list(alone)})
    return Kind(expected, read, write, {"oneOf": schemas} if len(schemas) > 1 else schemas[0])


def either(
    short: Kind[S], long: Kind[T], lift: Callable[[S], T], lower: Callable[[T], S | None]
) -> Kind[T]:
    """A table, or in place of it one value of it; `lower` gives None where that does not do."""

    def read(value: object, path: Path) -> T:
        return long.read(value, path) if isinstance(value, dict) else lift(short.read(value, path))

    def write(value: T) -> object:
        plain = lower(value)
        return long.write(value) if plain is None else short.write(plain)

    expected = f"{short.expected}, or {long.expected}"
    return Kind(expected, read, write, {"anyOf": [short.schema, long.schema]})


def later(expected: str, name: str, get: Callable[[], Kind[T]]) -> Kind[T]:
    """A kind that is defined further down, under this name in the schema."""
    return Kind(
        expected,
        lambda value, path: get().read(value, path),
        lambda value: get().write(value),
        {"$ref": f"#/$defs/{name}"},
    )


def described(schema: Schema, doc: str) -> Schema:
    """The schema with what it is for."""
    return {"description": doc, **schema}


def listed(names: Sequence[str] | Mapping[str, object]) -> str:
    """Names one after the other."""
    return ", ".join(names)
