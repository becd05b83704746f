"""Rules for attachments: which files a message must not hold.

All that a rule says has to hold for one file; of several values any will do. A file is a part, one
in a text, or one in an archive, as deep as is looked into. Names are compared folded
(`iems.mime.name`), in any of their readings; a pattern sees them folded and as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from iems.archive.kind import WORDS
from iems.archive.member import Fault
from iems.codec.pattern import Pattern, PatternError
from iems.mime.inside import File
from iems.mime.name import alike, extensions, folded, is_double

_LABEL = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FAULTS = frozenset(one.value for one in Fault)
_LISTS = ("name", "pattern", "extension", "type", "content", "fault")
_KEYS = (*_LISTS, "double-extension", "larger")


@dataclass(frozen=True)
class Rule:
    """What one is; empty means that it does not matter."""

    label: str
    names: tuple[Pattern, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    extensions: frozenset[str] = frozenset()
    double: bool = False
    types: tuple[Pattern, ...] = ()
    contents: frozenset[str] = frozenset()
    faults: frozenset[str] = frozenset()
    larger: int | None = None

    @classmethod
    def of(cls, label: str, table: Mapping[str, object]) -> Rule:
        """The rule of a table; ValueError where it cannot be meant."""
        if not _LABEL.fullmatch(label):
            raise ValueError(f"rule {label!r}: expected letters a to z, digits, and - between")
        if unknown := sorted(set(table) - set(_KEYS)):
            raise ValueError(f"rule {label}: {unknown[0]!r} is none of {', '.join(_KEYS)}")
        if not table:
            raise ValueError(f"rule {label}: expected one of {', '.join(_KEYS)}")
        lists = {key: _strings(label, key, table[key]) for key in _LISTS if key in table}
        larger, double = table.get("larger"), table.get("double-extension", True)
        if larger is not None and (type(larger) is not int or larger < 0):
            raise ValueError(f"rule {label}: larger = {larger!r}: expected a number of bytes")
        if double is not True:
            raise ValueError(f"rule {label}: double-extension = {double!r}: expected true, or none")
        _known(label, "content", lists.get("content", ()), WORDS)
        _known(label, "fault", lists.get("fault", ()), _FAULTS)
        return cls(
            label,
            tuple(_glob(label, alike(one)) for one in lists.get("name", ())),
            tuple(_compiled(label, one) for one in lists.get("pattern", ())),
            frozenset(_extension(label, one) for one in lists.get("extension", ())),
            "double-extension" in table,
            tuple(_type(label, one) for one in lists.get("type", ())),
            frozenset(lists.get("content", ())),
            frozenset(lists.get("fault", ())),
            larger if isinstance(larger, int) else None,
        )

    def matches(self, file: File, declared: str) -> bool:
        """Whether this file is one; `declared` is the type that the part says it has."""
        faults = {one.value for one in file.faults}
        return (
            (not self._names_matter or any(map(self._named, file.names)))
            and (not self.types or any(one.found(declared) for one in self.types))
            and (not self.contents or bool(self.contents & {file.kind.word, file.kind.family}))
            and (not self.faults or bool(self.faults & faults))
            and (self.larger is None or (file.size or 0) > self.larger)
        )

    @property
    def _names_matter(self) -> bool:
        return bool(self.names or self.patterns or self.extensions or self.double)

    def _named(self, name: str) -> bool:
        seen = folded(name)
        return (
            (not self.names or any(one.found(seen) for one in self.names))
            and (not self.patterns or any(o.found(n) for o in self.patterns for n in (name, seen)))
            and (not self.extensions or any(_ends(name, one) for one in self.extensions))
            and (not self.double or is_double(name))
        )


def _ends(name: str, extension: str) -> bool:
    """Whether it is the extension of the name; one may be two, as tar.gz."""
    wanted = tuple(extension.split("."))
    return extensions(name)[-len(wanted) :] == wanted


def _extension(label: str, text: str) -> str:
    """It as names are compared with it."""
    extension = alike(text).lstrip(".")
    if not extension or set(extension) & set("*?/ "):
        raise ValueError(f"rule {label}: extension = {text!r}: expected letters, as in 'exe'")
    return extension


def _type(label: str, text: str) -> Pattern:
    if not set(text) & set("/*?"):
        raise ValueError(f"rule {label}: type = {text!r}: expected both halves, as in '{text}/*'")
    return _glob(label, text.lower())


def _strings(label: str, key: str, value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) and one for one in values):
        raise ValueError(f"rule {label}: {key} = {value!r}: expected texts, as in {key} = ['x']")
    return tuple(values)


def _known(label: str, key: str, values: tuple[str, ...], known: frozenset[str]) -> None:
    for value in values:
        if value not in known:
            raise ValueError(
                f"rule {label}: {key} = {value!r}: expected one of {', '.join(sorted(known))}"
            )


def _glob(label: str, glob: str) -> Pattern:
    """`*` is any letters and `?` one; all others are themselves."""
    pieces = {"*": ".*", "?": "."}
    return _compiled(label, r"\A(?s:" + "".join(pieces.get(o, re.escape(o)) for o in glob) + r")\z")


def _compiled(label: str, source: str) -> Pattern:
    try:
        return Pattern.compile(source, case=False)
    except PatternError as error:
        raise ValueError(f"rule {label}: {source!r} is no pattern: {error}") from None
