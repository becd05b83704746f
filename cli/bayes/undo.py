"""`iems bayes undo USER MESSAGE|KEY`: take back what was learned of a message, exactly.

The message is a file, or `-` for standard input; its key is 32 hexadecimal digits, as `iems bayes
explain --json` prints it. Exit 1 if nothing was learned of it, or too long ago.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from cli import entries
from cli.bayes import desk
from lmtp.bayes.tokens import key

_KEY = re.compile(r"[0-9a-fA-F]{32}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, and which message."""
    desk.whose(parser)
    parser.add_argument("message", metavar="FILE|KEY", help="the message, `-`, or its key")


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon for it."""
    return desk.answered(arguments, desk.SET, act)


def act(at: desk.Desk, arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    word: str = arguments.message
    name = word.lower() if _KEY.fullmatch(word) else key(desk.message(Path(word))).hex()
    answer = at.ask("undo", key=name)
    if not answer.done:
        return entries.failed(entries.shown(answer.text))
    at.tell(desk.SET, f"undo {name}")
    return entries.changed("undone", f"bayes of {at.user}: {name}")
