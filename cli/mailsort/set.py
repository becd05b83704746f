"""`iems mailsort set USER FILE`: these are his rules from now on.

Nothing is stored that cannot be compiled. What the server then refuses is stored and not installed:
the script that was there stays.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cli import entries
from cli.mailsort.desk import Desk, remark, tell, unavailable
from iems.directory.admin import Admin
from iems.directory.store import NoEntryError
from iems.model.address import Address
from iems.settings.schema import Settings
from sieve.installing.scripts import ServerError
from sieve.mailsort.read import MailsortError, read_json, read_toml
from sieve.mailsort.rule import Mailsort

_MOST = 4 << 20
"""Bytes of a file: more than the readers take, and they say how much that is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`USER FILE`, `--json`, `--force`."""
    entries.as_option(parser)
    parser.add_argument("user", type=entries.address, metavar="USER")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="rules (docs/mailsort.md); - is standard input"
    )
    parser.add_argument("--json", action="store_true", help="they are JSON")
    force_option(parser)


def force_option(parser: argparse.ArgumentParser) -> None:
    """The option of what installs."""
    parser.add_argument(
        "--force", action="store_true", help="write over a script that somebody has edited"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    try:
        data = _data(arguments.file)
    except (FileNotFoundError, IsADirectoryError) as error:
        return entries.failed(f"{error.filename}: {error.strerror}")
    try:
        rules = (read_json if arguments.json else read_toml)(data)
    except MailsortError as error:
        remark(error.remarks)
        return entries.failed(f"{arguments.file} is not taken")

    def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
        return kept(Desk(admin, settings), arguments.user, rules, force=arguments.force)

    return entries.answered(arguments, act)


def kept(desk: Desk, user: Address, rules: Mailsort, *, force: bool = False) -> int:
    """Store and install rules; the exit code."""
    try:
        made = desk.ready(user, rules)
        if not made.usable:
            remark(made.remarks)
            return entries.failed(f"the rules of {user} stay as they were")
        desk.keep(user, rules)
        for pattern in sorted(made.refused.keys() & desk.shelf.read(user).allowed):
            entries.warn(
                f"a rule refuses {pattern}, and the list of senders of {user} allows it, which "
                "counts first"
            )
        return tell(desk.install(user, force=force))
    except NoEntryError:
        return entries.failed(f"no user {user}")
    except MailsortError as error:
        remark(error.remarks)
        return entries.failed(f"the rules of {user} stay as they were")
    except ServerError as error:
        entries.warn(f"the rules of {user} are stored, but not installed")
        return unavailable(error)


def _data(file: Path) -> bytes:
    if file == Path("-"):
        return sys.stdin.buffer.read(_MOST)
    with file.open("rb") as stream:
        return stream.read(_MOST)
