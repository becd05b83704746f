"""`iems user add|list|delete`: the mailboxes and who can log in.

Exit 0 done, 1 refused (it exists, it does not, no such domain), 75 the directory cannot answer.
A password is printed only if it was generated here.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from cli import entries
from iems.directory.admin import Admin
from iems.directory.store import EntryExistsError, NoEntryError
from iems.directory.tree import ADDRESS, TARGET, canonical
from iems.model.address import Address
from iems.settings.schema import Settings

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 5
"""20 of 32 letters that cannot be mistaken for one another: 100 bits."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`add ADDRESS`, `list [DOMAIN]`, `delete ADDRESS`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="give somebody a mailbox; prints the password it makes")
    add.add_argument("address", type=entries.address)
    add.add_argument(
        "--password-file",
        metavar="FILE",
        help="the password is the first line of this file, of standard input with -",
    )
    entries.exists_ok(add)
    entries.list_options(verbs.add_parser("list", help="all users"))
    delete = verbs.add_parser("delete", help="take an account away; the mail in it is not touched")
    delete.add_argument("address", type=entries.address)


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, _settings: Settings) -> int:
    """The same, with the directory given."""
    if arguments.verb == "add":
        return _add(arguments, admin)
    if arguments.verb == "delete":
        return _delete(arguments.address, admin)
    users = [text for text in admin.users() if entries.in_domain(text, arguments.domain)]
    return entries.listed(users, [{"address": text} for text in users], as_json=arguments.json)


def _add(arguments: argparse.Namespace, admin: Admin) -> int:
    address: Address = arguments.address
    try:
        password = _password(arguments.password_file)
        admin.add_user(address, password)
    except EntryExistsError:
        if arguments.exists_ok:
            return entries.changed("unchanged", f"user {canonical(address)}")
        return entries.failed(f"user {canonical(address)} exists")
    except NoEntryError:
        return entries.failed(
            f"no domain {address.domain}; add it with `iems domain add {address.domain}`"
        )
    except (OSError, ValueError) as error:
        return entries.failed(str(error))
    entries.changed("added", f"user {canonical(address)}")
    if arguments.password_file is None:
        print(f"password {password}")
    return entries.OK


def _delete(address: Address, admin: Admin) -> int:
    try:
        admin.delete_user(address)
    except NoEntryError:
        return entries.failed(f"no user {canonical(address)}")
    entries.changed("deleted", f"user {canonical(address)}")
    for row in admin.rows((TARGET, canonical(address))):
        entries.warn(f"alias {', '.join(row.texts(ADDRESS))} still leads to {canonical(address)}")
    return entries.OK


def _password(file: str | None) -> str:
    if file is None:
        groups = range(_GROUPS)
        return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in groups)
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    password = text.partition("\n")[0].rstrip("\r")
    if not password:
        raise ValueError(f"{file}: no password in the first line")
    return password
