"""A script as sievelib reads it: the opinion of another program on what is printed.

Of sievelib's answer the tree is ours again. It leaves strings as they are quoted; what they mean is
found here by RFC 5228 section 2.4.2, and not by our parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sievelib.commands import Command as Given
from sievelib.parser import Parser

from sieve.script.grammar import REFERENCE
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

LACKS = {
    "string": "of RFC 5229 it has `set` alone",
    ":user": "no RFC 5233",
    ":detail": "no RFC 5233",
    ":index": "of RFC 5260 it has the tests alone",
    "i;ascii-numeric": "no comparator but those of RFC 5228",
    "valid_notify_method": "of RFC 5435 it has `notify` alone",
    "notify_method_capability": "of RFC 5435 it has `notify` alone",
    "mailboxexists": "of RFC 5490 it has `:create` alone",
    "duplicate": "no RFC 7352",
}
"""Commands, tests, tags and comparators that sievelib 1.6 does not know, and why it need not."""

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_DOLLAR = "${dollar}"


class RefusedError(ValueError):
    """What sievelib does not take, in its own words."""


def lacking(commands: Iterable[Command]) -> set[str]:
    """What of `LACKS` is among these commands and in them."""
    return {word for one in nodes(tuple(commands)) for word in _words(one)} & LACKS.keys()


def _words(one: Command | Test) -> Iterator[str]:
    yield one.name
    for place, argument in enumerate(one.arguments):
        if isinstance(argument, Tag):
            yield f":{argument.name}"
        elif isinstance(argument, Text) and one.arguments[place - 1] == Tag("comparator"):
            yield argument.value


def read(text: bytes) -> Script:
    """The tree without comments; RefusedError for what sievelib does not take.

    As from our own parser, `require` is left out, and the printer's `dollar` has become a dollar.
    """
    parser = Parser()  # it forgets with each script what the last one required
    if not parser.parse(text):
        raise RefusedError(parser.error)
    head = [one for one in parser.result if one.name == "require"]
    required = {each.value for one in map(_Reader().command, head) for each in texts(one)}
    reader = _Reader("variables" in required)
    commands = [reader.command(one) for one in parser.result[len(head) :]]
    if commands[:1] == [Command("set", (Text("dollar"), Text("$")))]:
        del commands[0]
    return Script(tuple(commands))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Knows whether texts may have variables in them."""

    variables: bool = False

    def command(self, given: Given) -> Command:
        arguments, tests = self.followed(given)
        block = tuple(map(self.command, given.children)) if given.accept_children else None
        return Command(given.name, arguments, next(iter(tests), None), block)

    def followed(self, given: Given) -> tuple[tuple[Argument, ...], tuple[Test, ...]]:
        """Arguments in the order of the script, which its dictionary keeps, and tests."""
        arguments: list[Argument] = []
        tests: list[Test] = []
        for name, value in given.arguments.items():
            for one in (value, given.extra_arguments.get(name)):
                if isinstance(one, str):
                    arguments.append(self.argument(one))
                elif one is not None:
                    several = one if isinstance(one, list) else [one]
                    inner = [each for each in several if isinstance(each, Given)]
                    tests += [Test(each.name, *self.followed(each)) for each in inner]
                    listed = tuple(self.text(each) for each in several if isinstance(each, str))
                    arguments += [Texts(listed)] if listed else []
        return tuple(arguments), tuple(tests)

    def argument(self, token: str) -> Argument:
        if token.startswith(":"):
            return Tag(token[1:])
        if token[0].isdigit():
            return Number(int(token.rstrip("KMG")) * _UNITS.get(token[-1], 1))
        return self.text(token)

    def text(self, token: str) -> Text:
        if token.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
        else:
            stuffed = token.removeprefix("text:\n").removesuffix(".")
            value = re.sub(r"^\.\.", ".", stuffed, flags=re.MULTILINE)
        if not self.variables:
            return Text(value)
        expand = any(name != "dollar" for name in REFERENCE.findall(value))
        return Text(value if expand else value.replace(_DOLLAR, "$"), expand=expand)
