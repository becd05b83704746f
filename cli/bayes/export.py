"""`iems bayes export USER`: all that a user has trained, for `iems bayes import`.

It goes to standard output, a JSON object: state and journal, with words hashed and nothing of the
mail itself. Exit 1 if he has trained nothing.
"""

from __future__ import annotations

import argparse
import sys

from cli import entries
from cli.bayes import desk
from lmtp.bayes.exchange import exported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose."""
    desk.whose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    return desk.answered(arguments, desk.SHOW, act)


def act(at: desk.Desk, _arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    with at.store() as store:
        kept = store.load(at.user, desk.soon())
        journal = store.journal(at.user, desk.soon())
    if not kept.number:
        return entries.failed(f"{at.user} has trained nothing")
    sys.stdout.buffer.write(exported(at.user, kept, journal))
    sys.stdout.buffer.flush()
    return entries.OK
