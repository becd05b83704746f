"""`iems edit strip`: take attachments out of a message, with a notice instead (docs/strip.md)."""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from functools import partial
from pathlib import Path

from cli.edit.filter import read_text, through
from iems.edits.rules import Rule
from iems.edits.strip import NOTICE, Removal, strip

_SECONDS = 30
"""For all archives of the message."""

_LABEL = "options"
_LISTS = {
    "name": ("GLOB", "names like this; * is any letters, ? is one"),
    "pattern": ("RE2", "names in which this pattern is found"),
    "extension": ("WORD", "names that end so, as in exe"),
    "type": ("GLOB", "a declared type like this, as in application/*"),
    "content": ("WORD", "what is this by its content, as in executable"),
    "fault": ("WORD", "archives of which this is told, as in encrypted"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options are one rule, all of which has to hold; a file has any number of rules."""
    for name, (metavar, meaning) in _LISTS.items():
        parser.add_argument(f"--{name}", action="append", metavar=metavar, help=meaning)
    parser.add_argument(
        "--double-extension", action="store_true", help="names like invoice.pdf.exe"
    )
    parser.add_argument("--larger", type=int, metavar="BYTES", help="more than so many")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="rules as TOML")
    parser.add_argument(
        "--notice", type=Path, metavar="FILE", help="what is put in, with $name $type $size $rule"
    )


def run(arguments: argparse.Namespace) -> int:
    """Edit the message."""
    try:
        notice = NOTICE if arguments.notice is None else read_text(arguments.notice)
        removal = Removal((*_by_options(arguments), *_by_file(arguments.rules)), notice)
    except OSError as error:
        print(f"iems: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"iems: {error}", file=sys.stderr)
        return 2
    return through(partial(strip, removal=removal, until=time.monotonic() + _SECONDS))


def _by_options(arguments: argparse.Namespace) -> tuple[Rule, ...]:
    given = vars(arguments)
    table = {name: given[name] for name in (*_LISTS, "larger") if given[name] is not None}
    if arguments.double_extension:
        table["double-extension"] = True
    return (Rule.of(_LABEL, table),) if table else ()


def _by_file(file: Path | None) -> tuple[Rule, ...]:
    if file is None:
        return ()
    try:
        tables = tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file}: {error}") from None
    for label, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{file}: {label}: expected a table, as in [{label}]")
    return tuple(Rule.of(label, table) for label, table in tables.items())
