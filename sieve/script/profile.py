"""What a server's Sieve has, and how much it takes: what lacks is told before it is installed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields

from sieve.diagnostic import Diagnostic, Severity
from sieve.script.grammar import extensions, faults
from sieve.script.printer import to_text
from sieve.script.tree import Command, Script, Tag, Test, Text, Texts

_EXTENSIONS = frozenset(
    {
        *("body", "comparator-i;ascii-numeric", "copy", "date", "duplicate", "encoded-character"),
        *("enotify", "envelope", "environment", "extracttext", "fileinto", "foreverypart", "ihave"),
        *("imap4flags", "include", "index", "mailbox", "mime", "regex", "reject", "relational"),
        *("subaddress", "vacation", "variables"),
    }
)
"""What Pigeonhole 0.5.19 announces unless it is told otherwise (by ManageSieve)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The defaults are those of Pigeonhole 0.5.19, each measured.

    `octets` are of a whole script (`sieve_max_script_size`), `blocks` and `tests` are how deep they
    may be nested. `actions` and `redirects` are what one message may meet (`sieve_max_actions`,
    `sieve_max_redirects`): beyond them the server undoes the whole script, keeps the message, and
    tells nobody. `value` is how many octets of a variable are kept
    (`sieve_variables_max_value_size`).
    """

    extensions: frozenset[str] = _EXTENSIONS
    octets: int = 2**20
    blocks: int = 31
    tests: int = 31
    actions: int = 32
    redirects: int = 4
    value: int = 4096

    def lacks(self, script: Script) -> tuple[Diagnostic, ...]:
        """Why the server would not take it, each a reason of its own; empty where it would.

        `rule` of a remark is the first line of the comment above the command. What a message may
        meet is not asked: it is not in the grammar.
        """
        found = list(dict.fromkeys(self._all(script.commands)))
        if not found:
            try:
                octets = len(to_text(script).encode())
            except ValueError as error:
                return (_remark(str(error)),)
            if octets > self.octets:
                found.append(_remark(f"the script has {octets} octets: {self.octets} are taken"))
        return tuple(found)

    def _all(self, commands: tuple[Command, ...]) -> Iterator[Diagnostic]:
        rule = ""
        for one in commands:
            if one.comment or one.name not in {"elsif", "else"}:
                rule = one.comment[0] if one.comment else ""
            for message in self._of_commands((one,), 1):
                yield _remark(message, rule)
        yield from map(_remark, _out_of_order(commands))

    def _of_commands(self, commands: tuple[Command, ...], depth: int) -> Iterator[str]:
        for one in commands:
            yield from self._of_node(one)
            if one.test is not None:
                yield from self._of_test(one.test, 1)
            if one.block is not None:
                if depth > self.blocks:
                    yield f"blocks are nested more than {self.blocks} deep"
                else:
                    yield from _out_of_order(one.block)
                    yield from self._of_commands(one.block, depth + 1)

    def _of_test(self, one: Test, depth: int) -> Iterator[str]:
        yield from self._of_node(one)
        if depth > self.tests:
            yield f"tests are nested more than {self.tests} deep"
            return
        for inner in one.tests:
            yield from self._of_test(inner, depth + 1)

    def _of_node(self, node: Command | Test) -> Iterator[str]:
        wrong = tuple(faults(node))
        if wrong:
            yield from wrong
            return
        if Tag("matches") in node.arguments and any(map(_half_escaped, _keys(node))):
            yield "a pattern ends in a single backslash, of which Pigeonhole 0.5.19 dies"
        for name in extensions(node):
            if name and name not in self.extensions:
                yield f"the server has no extension {name!r}, which {node.name!r} needs"


PIGEONHOLE = Profile()
"""Dovecot 2.3 as Debian 12 has it, with nothing set."""


def read_profile(data: bytes) -> Profile:
    """From TOML with the names of a profile's fields, all of which may be left out.

    ValueError for what is none. `extensions` are all that the server has.
    """
    try:
        table = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"this is no TOML: {error}") from None
    names = [field.name for field in fields(Profile)]
    for name, value in table.items():
        if name not in names:
            raise ValueError(f"{name!r} is not known; a profile has {', '.join(names)}")
        if name == "extensions":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise ValueError("'extensions' is a list of names")
        elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{name!r} is a number, 0 or more")
    if "extensions" in table:
        table["extensions"] = frozenset(table["extensions"])
    return Profile(**table)


def _out_of_order(commands: tuple[Command, ...]) -> Iterator[str]:
    former = ""
    for one in commands:
        if one.name in {"elsif", "else"} and former not in {"if", "elsif"}:
            yield f"{one.name!r} follows neither 'if' nor 'elsif'"
        former = one.name


def _keys(node: Command | Test) -> tuple[Text, ...]:
    """What a test compares with, which stands last."""
    last = node.arguments[-1]
    return last.values if isinstance(last, Texts) else (last,) if isinstance(last, Text) else ()


def _half_escaped(pattern: Text) -> bool:
    return (len(pattern.value) - len(pattern.value.rstrip("\\"))) % 2 == 1


def _remark(message: str, rule: str = "") -> Diagnostic:
    return Diagnostic(Severity.ERROR, message, rule)
