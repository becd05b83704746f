"""`iems domain add|list|delete`: the mail domains that are served here.

Exit 0 done, 1 refused (it exists, it does not, it is not empty), 75 the directory cannot answer.
"""

from __future__ import annotations

import argparse

from cli import entries
from iems.directory.admin import Admin
from iems.directory.store import EntryExistsError, NoEntryError
from iems.directory.tree import ADDRESS
from iems.model.address import ROLES, Address
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`add DOMAIN`, `list`, `delete DOMAIN`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="serve a domain, with its postmaster@ and abuse@")
    add.add_argument("domain", type=entries.domain)
    add.add_argument(
        "--postmaster",
        type=entries.address,
        metavar="ADDRESS",
        help="who gets the mail of both; default: the site's postmaster",
    )
    entries.exists_ok(add)
    every = verbs.add_parser("list", help="all domains")
    every.add_argument("--json", action="store_true", help="one JSON array")
    delete = verbs.add_parser("delete", help="serve a domain no more; mailboxes are not touched")
    delete.add_argument("domain", type=entries.domain)
    delete.add_argument(
        "--recursive", action="store_true", help="with its users and aliases, where it has any"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    if arguments.verb == "add":
        return _add(arguments, admin, settings)
    if arguments.verb == "delete":
        return _delete(arguments, admin)
    names = admin.domains()
    return entries.listed(names, [{"domain": name} for name in names], as_json=arguments.json)


def _add(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    name: str = arguments.domain
    postmaster: Address = arguments.postmaster or settings.postmaster
    if postmaster.role and postmaster.domain == name:
        return entries.failed(
            f"{postmaster} would lead to itself; say who gets its mail with --postmaster ADDRESS"
        )
    try:
        added = admin.add_domain(name, postmaster, exists_ok=arguments.exists_ok)
    except EntryExistsError:
        return entries.failed(f"domain {name} exists")
    return entries.changed("added" if added else "unchanged", f"domain {name}")


def _delete(arguments: argparse.Namespace, admin: Admin) -> int:
    name: str = arguments.domain
    roles = {Address(role, name).key for role in ROLES}
    try:
        inside = [text for row in admin.inside(name) for text in row.texts(ADDRESS)]
        others = [text for text in inside if text not in roles]
        if others and not arguments.recursive:
            shown = ", ".join(sorted(others)[:5]) + (", ..." if len(others) > 5 else "")
            return entries.failed(
                f"domain {name} has {len(others)} users and aliases ({shown}); "
                f"delete them, too, with --recursive"
            )
        admin.delete_domain(name)
    except NoEntryError:
        return entries.failed(f"no domain {name}")
    return entries.changed("deleted", f"domain {name}")
