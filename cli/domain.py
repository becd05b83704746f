"""`iems domain add|list|delete|admin`: the mail domains that are served here.

A domain may be another name of another one (`add --alias-of`). `iems domain admin add|list|delete`
says who administers one: its users and aliases, its policy and theirs.
Exit 0 done, 1 refused (it exists, it does not, it is not empty), 75 the directory cannot answer.
"""

from __future__ import annotations

import argparse

from cli import bulk, entries
from cli.bayes import leaving
from iems.directory.admin import Admin
from iems.directory.store import EntryExistsError, NoEntryError
from iems.directory.tree import ADDRESS, canonical
from iems.model.address import ROLES, TRAINING, Address
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`add DOMAIN`, `list`, `delete DOMAIN`, `admin add|delete DOMAIN ADDRESS`, `admin list`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="serve a domain, with its postmaster@ and abuse@")
    add.add_argument("domain", type=entries.domain)
    add.add_argument(
        "--postmaster",
        type=entries.address,
        metavar="ADDRESS",
        help="who gets the mail of both; default: the site's postmaster",
    )
    add.add_argument(
        "--alias-of",
        type=entries.domain,
        metavar="OTHER",
        help="all its addresses are other names of those at OTHER",
    )
    add.add_argument(
        "--training",
        action="store_true",
        help="also spam@ and ham@, to which users forward what trains their filters",
    )
    entries.exists_ok(add)
    every = verbs.add_parser("list", help="all domains")
    every.add_argument("--json", action="store_true", help="one JSON array")
    bulk.add_verbs(verbs, "domain")
    delete = verbs.add_parser("delete", help="serve a domain no more; mailboxes are not touched")
    delete.add_argument("domain", type=entries.domain)
    delete.add_argument(
        "--recursive", action="store_true", help="with its users and aliases, where it has any"
    )
    admin = verbs.add_parser("admin", help="who administers a domain")
    _admin_arguments(admin.add_subparsers(dest="admin_verb", required=True, metavar="VERB"))


def _admin_arguments(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = verbs.add_parser("add", help="let a user administer the domain")
    bulk.add_verbs(verbs, "domain")
    delete = verbs.add_parser("delete", help="let him administer it no more")
    every = verbs.add_parser("list", help="who administers it")
    for verb in (add, delete, every):
        verb.add_argument("domain", type=entries.domain)
    for verb in (add, delete):
        verb.add_argument("address", type=entries.address)
    every.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    if arguments.verb in {"import", "export"}:
        return bulk.run(arguments, admin, settings, "domain")
    if arguments.verb == "add":
        return _add(arguments, admin, settings)
    if arguments.verb == "delete":
        return _delete(arguments, admin, settings)
    if arguments.verb == "admin":
        return _admin(arguments, admin)
    names, others = admin.domains(), admin.domain_aliases()
    lines = (f"{name} -> {others[name]}" if name in others else name for name in names)
    rows = [{"domain": name, "alias_of": others.get(name)} for name in names]
    return entries.listed(lines, rows, as_json=arguments.json)


def _add(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    name: str = arguments.domain
    if arguments.alias_of:
        return _add_alias(name, arguments.alias_of, admin, exists_ok=arguments.exists_ok)
    postmaster: Address = arguments.postmaster or settings.postmaster
    if postmaster.role and postmaster.domain == name:
        return entries.failed(
            f"{postmaster} would lead to itself; say who gets its mail with --postmaster ADDRESS"
        )
    aliases = {Address(role, name): postmaster for role in sorted(ROLES)}
    if arguments.training:
        aliases |= {one: one for one in (Address(local, name) for local in sorted(TRAINING))}
    try:
        added = admin.add_domain(name, aliases, exists_ok=arguments.exists_ok)
    except EntryExistsError:
        return entries.failed(f"domain {name} exists")
    return entries.changed("added" if added else "unchanged", f"domain {name}")


def _add_alias(name: str, other: str, admin: Admin, *, exists_ok: bool) -> int:
    try:
        added = admin.add_domain_alias(name, other, exists_ok=exists_ok)
    except NoEntryError:
        return entries.failed(f"no domain {other}")
    except EntryExistsError:
        return entries.failed(f"domain {name} exists")
    except ValueError as error:
        return entries.failed(str(error))
    return entries.changed("added" if added else "unchanged", f"domain {name} -> {other}")


def _admin(arguments: argparse.Namespace, admin: Admin) -> int:
    name: str = arguments.domain
    try:
        if arguments.admin_verb == "list":
            found = admin.admins(name)
            rows = [{"domain": name, "admin": one} for one in found]
            return entries.listed(found, rows, as_json=arguments.json)
        administers = arguments.admin_verb == "add"
        changed = admin.set_admin(name, arguments.address, administers=administers)
    except NoEntryError:
        user = f", or no user {canonical(arguments.address)}" if "address" in arguments else ""
        return entries.failed(f"no domain {name}{user}")
    verb = "added" if administers else "deleted"
    text = f"administrator {canonical(arguments.address)} of {name}"
    return entries.changed(verb if changed else "unchanged", text)


def _delete(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
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
        users = sorted({*admin.users()} & {*inside})
        admin.delete_domain(name)
    except NoEntryError:
        return entries.failed(f"no domain {name}")
    entries.changed("deleted", f"domain {name}")
    leaving.forget(users, settings.bayes)
    for alias, other in admin.domain_aliases().items():
        if other == name:
            entries.warn(f"domain {alias} is still another name of {name}")
    return entries.OK
