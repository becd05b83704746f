"""`iems mailsort`: the rules of users about their incoming mail (docs/mailsort-installed.md).

They stand in the directory, and Dovecot runs a Sieve script that is made of them, before the
scripts that users have themselves. With `--as` only the rules of that user, or of users in a domain
that he administers.
Exit 0 done, 1 refused or not as it should be, 75 directory or ManageSieve server cannot answer now,
77 not allowed.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping

VERBS: Mapping[str, str] = {
    "show": "print the rules of a user",
    "set": "put a file of rules in the place of a user's, and install them",
    "edit": "edit the rules of a user, and install them",
    "install": "bring the scripts of users, or of the site, to what their rules say",
    "status": "show which scripts run for a user, and in which order",
}
"""Each is a module of this package with `add_arguments(parser)` and `run(arguments) -> int`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One verb for each module."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, summary in VERBS.items():
        module = importlib.import_module(f"cli.mailsort.{name}")
        verb = verbs.add_parser(name, help=summary, description=f"iems mailsort {name}: {summary}.")
        module.add_arguments(verb)
        verb.set_defaults(mailsort=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    code: int = arguments.mailsort(arguments)
    return code
