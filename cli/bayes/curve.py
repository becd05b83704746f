"""`iems bayes curve USER --html FILE`: how the filter of a user learns, as a page with two charts.

One has how often it had been right before it was told, of the last 50 messages that the user
corrected or confirmed; the other how many he has trained. They go back as far as his journal does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cli import entries
from cli.bayes import desk
from cli.bayes.picture import page
from lmtp.bayes.curve import points


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, and where to."""
    desk.whose(parser)
    parser.add_argument(
        "--html", type=Path, required=True, metavar="FILE", help="the page; `-`: standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write it."""
    return desk.answered(arguments, desk.SHOW, act)


def act(at: desk.Desk, arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    target: Path = arguments.html
    with at.store() as store:
        kept = store.load(at.user, desk.soon())
        journal = store.journal(at.user, desk.soon())
    if not journal:
        return entries.failed(f"{at.user} has trained nothing of late")
    first = min(len(journal), kept.ham + kept.spam)
    known = (
        f"Of {kept.ham + kept.spam:,} messages trained in all, the last {first:,} "
        "are in the journal and in these charts. Times are UTC."
    )
    drawn = page(at.user, list(points(journal, kept.ham, kept.spam)), known)
    if target == Path("-"):
        sys.stdout.buffer.write(drawn)
        return entries.OK
    try:
        target.write_bytes(drawn)
    except OSError as error:
        return entries.failed(f"{target}: {error.strerror}")
    return entries.changed("written", f"{target}: {len(journal)} messages of {at.user}")
