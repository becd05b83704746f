"""`iems bayes reset USER`: forget all that a user has trained, and what is remembered of his mail.

His filter says nothing again until he has trained enough. On a terminal it asks first. What was
written by `iems bayes export` before can be put back.
"""

from __future__ import annotations

import argparse
import sys

from cli import entries
from cli.bayes import desk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose."""
    desk.whose(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask who types, then the daemon."""
    return desk.answered(arguments, desk.DELETE, act)


def act(at: desk.Desk, arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    sure: bool = arguments.yes
    if not sure and not sys.stdin.isatty():
        return entries.failed("nobody can be asked here; expected --yes", entries.USAGE)
    if not sure:
        print(f"Forget all that {at.user} has trained? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            return entries.failed("nothing is changed")
    answer = at.ask("reset")
    if not answer.done:
        return entries.failed(entries.shown(answer.text))
    at.tell(desk.DELETE, "reset")
    return entries.changed("reset", f"bayes of {at.user}: {answer.text}")
