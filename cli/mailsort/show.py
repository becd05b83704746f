"""`iems mailsort show USER`: his rules, as they are edited, or with --json as they are stored."""

from __future__ import annotations

import argparse

from cli import entries
from cli.mailsort.desk import Desk
from iems.directory.admin import Admin
from iems.directory.store import NoEntryError
from iems.settings.schema import Settings
from sieve.mailsort.read import MailsortError
from sieve.mailsort.write import to_json, to_toml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`USER`, `--sieve`, `--json`."""
    entries.as_option(parser)
    parser.add_argument("user", type=entries.address, metavar="USER")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="as JSON")
    how.add_argument("--sieve", action="store_true", help="the script that is made of them")


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    desk = Desk(admin, settings)
    try:
        rules = desk.rules(arguments.user)
    except NoEntryError:
        return entries.failed(f"no user {arguments.user}")
    except MailsortError as error:
        return desk.unusable(arguments.user, error)
    if arguments.sieve:
        text = desk.ready(arguments.user, rules).body or ""
    else:
        text = to_json(rules) if arguments.json else to_toml(rules)
    print(text.rstrip("\n"))
    return entries.OK
