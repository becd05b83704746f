"""`iems restore FILE`: a backup onto a machine that `make mailserver` has set up.

Exit 0 restored, 1 refused (no backup, not whole, the machine holds what it does not), 75 slapd, the
records or what users have trained could not be written now, 77 not root, 78 the settings are wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cli import backup, entries
from cli.probe import PASSWORDS
from iems.backup.restore import OccupiedError, restore
from iems.backup.site import Site, Summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and whether over what is there."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `iems backup` has written")
    parser.add_argument(
        "--force",
        action="store_true",
        help="although this machine has another name, other users or other mail, which stay",
    )
    backup.options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore it and say what was in it."""
    rules = 0

    def act(here: Site) -> Summary:
        nonlocal rules
        summary = restore(here, arguments.file, backup.progress(), force=arguments.force)
        rules = summary.rules
        return summary

    try:
        code = backup.done(arguments, act, "restored")
    except OccupiedError as error:
        return entries.failed(f"nothing was restored; --force does it nevertheless:\n{error}")
    if rules:
        entries.warn("rules of site or domains run once `iems mailsort install --site` is done")
    if code == entries.OK and PASSWORDS.exists():
        _set_aside(PASSWORDS)
    return code


def _set_aside(passwords: Path) -> None:
    """A probe with passwords that are no longer any would fail."""
    previous = passwords.with_name(f"{passwords.name}.previous")
    passwords.replace(previous)
    entries.warn(f"users have their passwords of the backup; {passwords} is {previous} now")
