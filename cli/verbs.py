"""Commands that are a package: each verb is a module in it, imported for its arguments.

A verb has `add_arguments(parser)` and `run(arguments) -> int`.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping


def add(parser: argparse.ArgumentParser, command: str, verbs: Mapping[str, str]) -> None:
    """The verbs of a command, by name, each with what it does."""
    parsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, summary in verbs.items():
        module = importlib.import_module(f"cli.{command}.{name}")
        verb = parsers.add_parser(
            name, help=summary, description=f"iems {command} {name}: {summary}."
        )
        module.add_arguments(verb)
        verb.set_defaults(act=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    code: int = arguments.act(arguments)
    return code
