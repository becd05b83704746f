"""Sieve (RFC 5228) as values: a script is commands, a command or test has arguments and tests.

The grammar alone is in the tree: what a command means and which extension it is of, the printer
knows. A text is what it means, never how it is quoted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Tag:
    """`:name`, without its colon."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """Octets, days or a count; at most 2^31 - 1."""

    value: int


@dataclass(frozen=True, slots=True)
class Text:
    """One string, as it is to be understood.

    With `expand` a `${name}` in it is a variable (RFC 5229); without, it is these characters.
    """

    value: str
    expand: bool = False


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of strings, which is not empty."""

    values: tuple[Text, ...]

    @classmethod
    def of(cls, *values: str) -> Texts:
        """Of strings without variables."""
        return cls(tuple(map(Text, values)))


Argument: TypeAlias = Tag | Number | Text | Texts


@dataclass(frozen=True, slots=True)
class Test:
    """`header :is "Subject" "x"`, `not TEST`, `anyof (TEST, TEST)`."""

    name: str
    arguments: tuple[Argument, ...] = ()
    tests: tuple[Test, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """`fileinto "x";`, or with a block `if TEST { ... }`; `comment` is lines above it."""

    name: str
    arguments: tuple[Argument, ...] = ()
    test: Test | None = None
    block: tuple[Command, ...] | None = None
    comment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """Commands in their order, with no `require`: the printer finds out what is required.

    `comment` is at the very top.
    """

    commands: tuple[Command, ...]
    comment: tuple[str, ...] = ()


def command(name: str, *arguments: Argument) -> Command:
    """One without a block."""
    return Command(name, arguments)


def test(name: str, *arguments: Argument) -> Test:
    """One without tests in it."""
    return Test(name, arguments)


def negated(one: Test) -> Test:
    """Its contrary; of a contrary what was there."""
    return one.tests[0] if one.name == "not" else Test("not", (), (one,))


def nodes(commands: tuple[Command, ...]) -> Iterator[Command | Test]:
    """Every command and test, in the order of the script."""
    for one in commands:
        yield one
        if one.test is not None:
            yield from _tests(one.test)
        yield from nodes(one.block or ())


def _tests(one: Test) -> Iterator[Test]:
    yield one
    for inner in one.tests:
        yield from _tests(inner)


def texts(node: Command | Test) -> Iterator[Text]:
    """Every string among its own arguments."""
    for argument in node.arguments:
        if isinstance(argument, Text):
            yield argument
        elif isinstance(argument, Texts):
            yield from argument.values
