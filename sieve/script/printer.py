"""A Sieve tree as text: the only place that quotes.

A line ends with a line feed, in texts too: servers make it CRLF. A text with a NUL or with a
carriage return alone has no form in Sieve.

Where `variables` is required a `${name}` that is meant as it stands is written `${dollar}{name}`:
RFC 5229 has no other way to quote it, since `encoded-character` is decoded before variables are
(seen in Pigeonhole 0.5.19). So the variable `dollar` is ours, and set on top where it is used.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from sieve.script.grammar import REFERENCE, extensions
from sieve.script.tree import (
    Argument,
    Command,
    Number,
    Script,
    Tag,
    Test,
    Text,
    Texts,
    nodes,
    texts,
)

WIDTH = 80
"""Columns that a line has; a string is never broken."""

DOLLAR = Command("set", (Text("dollar"), Text("$")))
"""What gives `${dollar}` its meaning."""

_INDENT = " " * 4
_MAX_NUMBER = 2**31 - 1
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_QUANTIFIERS = (("G", 2**30), ("M", 2**20), ("K", 2**10))


def to_text(script: Script) -> str:
    """The script with what it requires; ValueError if there is no such text.

    A list of one string is printed as that string (RFC 5228 section 2.4.2.1). A number that has no
    form, a name that the grammar does not know and a variable `dollar` are refused.
    """
    needed = requires(script)
    commands = script.commands
    if any(isinstance(one, Command) and sets_dollar(one) for one in nodes(commands)):
        raise ValueError("the variable 'dollar' is the printer's")
    if "variables" in needed and any(map(_needs_dollar, nodes(commands))):
        commands = (DOLLAR, *commands)
    head = _comment(script.comment, 0)
    required = _require(needed)
    body = _Printer(variables="variables" in needed).commands(commands, 0)
    if required:
        return head + required + ("\n" if body else "") + body
    return head + ("\n" if head and body else "") + body


def requires(script: Script) -> tuple[str, ...]:
    """The extensions that it uses, sorted; ValueError for a name that the grammar has not."""
    needed = {name for one in nodes(script.commands) for name in extensions(one)}
    return tuple(sorted(needed - {""}))


def sets_dollar(one: Command) -> bool:
    """Whether it gives the printer's variable another value."""
    texts = [argument.value.lower() for argument in one.arguments if isinstance(argument, Text)]
    return one.name == "set" and texts[:1] == ["dollar"]


def _needs_dollar(node: Command | Test) -> bool:
    for one in texts(node):
        names = {name.lower() for name in REFERENCE.findall(one.value)}
        if ("dollar" in names) if one.expand else names:
            return True
    return False


def _require(needed: tuple[str, ...]) -> str:
    if not needed:
        return ""
    quoted = [_quoted(name) for name in needed]
    line = f"require {quoted[0] if len(quoted) == 1 else '[' + ', '.join(quoted) + ']'};"
    return (
        "\n".join(
            textwrap.wrap(
                line,
                WIDTH,
                subsequent_indent=_INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
        + "\n"
    )


def _comment(lines: tuple[str, ...], depth: int) -> str:
    return "".join(
        _INDENT * depth + f"# {_UNPRINTABLE.sub(' ', line)}".rstrip() + "\n"
        for one in lines
        for line in one.splitlines() or [""]
    )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _fits(text: str, column: int) -> bool:
    return "\n" not in text and column + len(text) <= WIDTH


@dataclass(frozen=True, slots=True)
class _Printer:
    """Knows whether texts are expanded; `depth` counts blocks, `column` characters."""

    variables: bool

    def commands(self, commands: tuple[Command, ...], depth: int) -> str:
        text, former = "", None
        for one in commands:
            indent = _INDENT * depth
            if former is not None and former.block is not None and one.name in {"elsif", "else"}:
                if not one.comment:
                    text, indent = text.removesuffix("\n"), " "
            elif former is not None and (one.comment or former.block is not None):
                text += "\n"
            text += _comment(one.comment, depth) + indent + self.command(one, depth) + "\n"
            former = one
        return text

    def command(self, one: Command, depth: int) -> str:
        words = one.name
        if one.arguments:
            last = one.arguments[-1]
            ends = one.test is None and one.block is None
            if ends and isinstance(last, Text) and last.value.endswith("\n"):
                before = [self.argument(each, one.name) for each in one.arguments[:-1]]
                return f"{' '.join((words, *before))} {self.lines(last)};"
            words += " " + self.arguments(one, depth, len(words) + 2)
        if one.test is not None:
            words += " " + self.test(one.test, depth, len(_INDENT) * depth + len(words) + 3)
        if one.block is None:
            return words + ";"
        return f"{words} {{\n{self.commands(one.block, depth + 1)}{_INDENT * depth}}}"

    def test(self, one: Test, depth: int, column: int) -> str:
        """In one line where it fits, else its tests or strings are on lines of their own."""
        inline = self.inline(one)
        if _fits(inline, column):
            return inline
        words = one.name
        if one.arguments:
            words += " " + self.arguments(one, depth, column + len(words))
        if not one.tests:
            return words
        if one.name == "not" and len(one.tests) == 1:
            return f"{words} {self.test(one.tests[0], depth, column + len(words) + 1)}"
        indent = _INDENT * (depth + 1)
        listed = ",\n".join(
            indent + self.test(inner, depth + 1, len(indent) + 1) for inner in one.tests
        )
        return f"{words} (\n{listed}\n{_INDENT * depth})"

    def inline(self, one: Test) -> str:
        words = [one.name, *(self.argument(each, one.name) for each in one.arguments)]
        inner = ", ".join(map(self.inline, one.tests))
        if inner:
            words.append(inner if one.name == "not" and len(one.tests) == 1 else f"({inner})")
        return " ".join(words)

    def arguments(self, one: Command | Test, depth: int, column: int) -> str:
        """In one line where they fit, else with long lists and the last one broken."""
        words = [self.argument(each, one.name) for each in one.arguments]
        if _fits(" ".join(words), column):
            return " ".join(words)
        lists = [
            place
            for place, each in enumerate(one.arguments)
            if isinstance(each, Texts) and len(each.values) > 1
        ]
        for place in lists:
            if place == lists[-1] or not _fits(words[place], column):
                words[place] = self.broken(one.arguments[place], depth)
        return " ".join(words)

    def argument(self, one: Argument, name: str) -> str:
        match one:
            case Tag():
                return f":{one.name}"
            case Number():
                return self.number(one.value, scaled=name == "size")
            case Text():
                return _quoted(self.value(one))
            case Texts(()):
                raise ValueError(f"{name!r} has an empty list")
            case Texts((single,)):
                return _quoted(self.value(single))
            case Texts():
                return f"[{', '.join(_quoted(self.value(each)) for each in one.values)}]"

    def broken(self, one: Argument, depth: int) -> str:
        indent = _INDENT * (depth + 1)
        values = one.values if isinstance(one, Texts) else ()
        listed = ",\n".join(indent + _quoted(self.value(each)) for each in values)
        return f"[\n{listed}\n{_INDENT * depth}]"

    def lines(self, one: Text) -> str:
        """A text of whole lines (RFC 5228 section 2.4.2, `multi-line`)."""
        stuffed = re.sub(r"^\.", "..", self.value(one), flags=re.MULTILINE)
        return f"text:\n{stuffed}.\n"

    def value(self, one: Text) -> str:
        value = one.value.replace("\r\n", "\n")
        if "\0" in value or "\r" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("a text has a NUL, a lone carriage return or half a character in it")
        if self.variables and not one.expand:
            return REFERENCE.sub(r"${dollar}{\1}", value)
        return value

    def number(self, value: int, *, scaled: bool) -> str:
        if not 0 <= value <= _MAX_NUMBER:
            raise ValueError(f"{value} is no number of Sieve, which go to {_MAX_NUMBER}")
        for letter, unit in _QUANTIFIERS if scaled and value else ():
            if value % unit == 0:
                return f"{value // unit}{letter}"
        return str(value)
