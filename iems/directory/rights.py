"""The table of access rights (`templates/openldap/rights.toml`) as slapd's access rules.

    python -m iems.directory.rights TABLE

prints the rules, one `olcAccess: {n}to ...` a line, as LDIF has them (slapd.access(5)). Pure but
for that; a fault of the table is a `RightsError`, and then nothing is printed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LEVELS: Mapping[str, str] = {
    "login": "auth",
    "find": "search",
    "read": "read",
    "set": "=w",
    "change": "=xw",
    "write": "write",
}
"""Word of the table -> access of slapd.access(5); `=` gives these privileges and no lower ones."""

ROOT = "root"
_OWN_KEYS = frozenset({"name", "what"})


class RightsError(ValueError):
    """The table is wrong; the message says where, what stood there and what is expected."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the tree, and what each actor who is named may do there."""

    name: str
    what: str
    may: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rights:
    """The table: actor -> slapd's words for him, and the parts in the order in which they count."""

    actors: Mapping[str, str]
    parts: tuple[Part, ...]


def read_rights(text: str) -> Rights:
    """The table in this TOML text."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RightsError(f"the table cannot be read: {error}") from None
    if table.get("version") != 1:
        raise RightsError(f"version is {table.get('version')!r}; expected 1")
    actors = {name: str(words) for name, words in table.get("actors", {}).items()}
    if ROOT not in actors:
        raise RightsError(f"actors is {sorted(actors)}; expected {ROOT} among them")
    return Rights(actors, tuple(_part(content, actors) for content in table.get("object", ())))


def access_rules(rights: Rights) -> tuple[str, ...]:
    """The values of olcAccess, in order; the first lets root do all and goes on for the others."""
    rules = [f"to * by {rights.actors[ROOT]} manage by * break"]
    for part in rights.parts:
        given = "".join(
            f" by {rights.actors[actor]} {LEVELS[word]}" for actor, word in part.may.items()
        )
        rules.append(f"to {part.what}{given} by * none")
    return tuple(f"{{{number}}}{rule}" for number, rule in enumerate(rules))


def main(arguments: Sequence[str]) -> int:
    """Print the rules of the table in the file that is named."""
    if len(arguments) != 1:
        print("usage: python -m iems.directory.rights TABLE", file=sys.stderr)
        return 2
    try:
        rules = access_rules(read_rights(Path(arguments[0]).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"olcAccess: {rule}" for rule in rules))
    return 0


def _part(content: Mapping[str, object], actors: Mapping[str, str]) -> Part:
    name = content.get("name")
    what = content.get("what")
    if not isinstance(name, str) or not isinstance(what, str):
        raise RightsError(f"object {name!r} has what = {what!r}; expected two strings")
    may: dict[str, str] = {}
    for actor, word in content.items():
        if actor in _OWN_KEYS:
            continue
        if actor not in actors:
            raise RightsError(f"object {name!r} names {actor!r}; expected one of {sorted(actors)}")
        if word not in LEVELS:
            raise RightsError(
                f"object {name!r} gives {actor} {word!r}; expected one of {sorted(LEVELS)}"
            )
        may[actor] = str(word)
    return Part(name, what, may)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
