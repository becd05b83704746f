"""`iems edit`: one edit of one message, from standard input to standard output.

It needs no settings, and no server but one that it is told of, so that an edit can be tried, or be
a filter in a pipe. A message that is left as it is comes out as it came in, and standard error says
why. Exit 0 if a message was printed, 1 if it is to be rejected, which prints none, and 75 where a
server that an edit asks cannot answer now.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping

VERBS: Mapping[str, str] = {
    "scan": "let a message pass in which clamd finds no virus",
    "sign": "sign a message by DKIM",
    "strip": "take attachments out of a message",
    "text": "put a text into a message",
}
"""Each is a module of this package with `add_arguments(parser)` and `run(arguments) -> int`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One verb for each edit."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, summary in VERBS.items():
        module = importlib.import_module(f"cli.edit.{name}")
        verb = verbs.add_parser(name, help=summary, description=f"iems edit {name}: {summary}.")
        module.add_arguments(verb)
        verb.set_defaults(edit=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    code: int = arguments.edit(arguments)
    return code
