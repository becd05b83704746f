"""`iems bayes import USER FILE`: put what was exported in the place of what a user has trained.

It may come from another server or be of another user. The training daemon looks through it first;
what is not right is refused as a whole. `-` is standard input.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cli import entries
from cli.bayes import desk
from lmtp.bayes.exchange import LARGEST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, and from where."""
    desk.whose(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="what was exported, or `-`")


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon for it."""
    return desk.answered(arguments, desk.SET, act)


def _read(file: Path) -> bytes:
    """As much as shows that it is too much."""
    if file == Path("-"):
        return sys.stdin.buffer.read(LARGEST + 1)
    with file.open("rb") as source:
        return source.read(LARGEST + 1)


def act(at: desk.Desk, arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    file: Path = arguments.file
    try:
        text = _read(file)
    except OSError as error:
        return entries.failed(f"{file}: {error.strerror}", entries.USAGE)
    answer = at.ask("import", text)
    if not answer.done:
        return entries.failed(entries.shown(f"{file}: {answer.text}"))
    at.tell(desk.SET, "import")
    return entries.changed("imported", f"bayes of {at.user}: {answer.text}")
