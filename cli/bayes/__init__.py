"""`iems bayes`: the filter that learns from each user's corrections (docs/bayes.md)."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping

VERBS: Mapping[str, str] = {
    "eval": "show mail to a filter that knows nothing, and count its mistakes",
}
"""Each is a module of this package with `add_arguments(parser)` and `run(arguments) -> int`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One verb for each module."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, summary in VERBS.items():
        module = importlib.import_module(f"cli.bayes.{name}")
        verb = verbs.add_parser(name, help=summary, description=f"iems bayes {name}: {summary}.")
        module.add_arguments(verb)
        verb.set_defaults(bayes=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    code: int = arguments.bayes(arguments)
    return code
