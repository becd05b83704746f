"""The arguments of a program as values, read from its argparse parser.

What is told to argparse is told once: man pages (`cli.manual`) and completion (`cli.completion`)
are made of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_WIDE = 10_000
"""Columns in which no usage is wrapped."""


@dataclass(frozen=True)
class Argument:
    """An option, or without `flags` a positional one; `value` is what stands for its value.

    `values` are all the values there are, where they are known; `file` says that it is a path.
    """

    flags: tuple[str, ...]
    value: str
    help: str
    values: tuple[str, ...]
    file: bool


@dataclass(frozen=True)
class Command:
    """A program, one of its commands, or one of a command's verbs: `words` lead to it."""

    words: tuple[str, ...]
    summary: str
    description: str
    epilog: str
    usage: str
    arguments: tuple[Argument, ...]
    commands: tuple[Command, ...]

    def walk(self) -> Iterator[Command]:
        """It, and all beneath it."""
        yield self
        for command in self.commands:
            yield from command.walk()


def read(parser: argparse.ArgumentParser, summary: str = "") -> Command:
    """The tree of a parser."""
    formatter = argparse.HelpFormatter(parser.prog, width=_WIDE)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    usage = formatter.format_help().strip().removeprefix("usage: ")
    arguments: list[Argument] = []
    commands: list[Command] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands += _commands(action)
        elif action.help != argparse.SUPPRESS:
            arguments.append(_argument(action, formatter))
    return Command(
        words=tuple(parser.prog.split()),
        summary=summary,
        description=parser.description or "",
        epilog=parser.epilog or "",
        usage=usage,
        arguments=tuple(arguments),
        commands=tuple(commands),
    )


def _commands(action: argparse._SubParsersAction[argparse.ArgumentParser]) -> Iterator[Command]:
    summaries = {one.dest: one.help or "" for one in action._choices_actions}
    for name, parser in action.choices.items():
        yield read(parser, summaries.get(name, ""))


def _argument(action: argparse.Action, formatter: argparse.HelpFormatter) -> Argument:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    own = action.dest.upper() if action.option_strings else action.dest
    values = tuple(map(str, action.choices or ()))
    takes = action.nargs != 0
    return Argument(
        flags=tuple(action.option_strings),
        value=(metavar or "|".join(values) or own) if takes else "",
        help=formatter._expand_help(action) if action.help else "",
        values=values,
        file=action.type is Path or metavar.startswith("FILE"),
    )
