"""`iems alias add|list|delete`: other names for addresses, here or elsewhere.

`@DOMAIN` is a catch-all: it gets the mail for every address of the domain that is nobody's. An
alias that leads round in a circle, or to nobody, is made all the same, with a warning.
Exit 0 done, 1 refused (it exists, it does not, no such domain), 75 the directory cannot answer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cli import bulk, entries
from iems.directory.admin import Admin
from iems.directory.reader import User
from iems.directory.resolve import UnreasonableAlias, resolve
from iems.directory.store import EntryExistsError, NoEntryError
from iems.directory.tree import alias_entry, canonical
from iems.model.address import Address, AddressError
from iems.serve.deadline import Deadline
from iems.settings.schema import Settings

_CHECK = 10.0
"""Seconds for finding out where a new alias leads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`add ALIAS TARGET...`, `list [DOMAIN]`, `delete ALIAS`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="make another name for addresses")
    add.add_argument("alias", type=_alias, metavar="ADDRESS|@DOMAIN")
    add.add_argument("targets", type=entries.address, nargs="+", metavar="TARGET")
    entries.exists_ok(add)
    entries.list_options(verbs.add_parser("list", help="all aliases and where they lead"))
    bulk.add_verbs(verbs, "alias")
    delete = verbs.add_parser("delete", help="take a name away")
    delete.add_argument("alias", type=_alias, metavar="ADDRESS|@DOMAIN")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    if arguments.verb in {"import", "export"}:
        return bulk.run(arguments, admin, settings, "alias")
    if arguments.verb == "add":
        return _add(arguments, admin)
    if arguments.verb == "delete":
        return _delete(arguments.alias, admin)
    found = admin.aliases()
    aliases = {text: to for text, to in found.items() if entries.in_domain(text, arguments.domain)}
    lines = (f"{text} -> {', '.join(to)}" for text, to in aliases.items())
    rows = [{"address": text, "targets": to} for text, to in aliases.items()]
    return entries.listed(lines, rows, as_json=arguments.json)


def _add(arguments: argparse.Namespace, admin: Admin) -> int:
    alias: str = arguments.alias
    try:
        admin.add_alias(alias, arguments.targets)
    except EntryExistsError:
        if arguments.exists_ok:
            return entries.changed("unchanged", f"alias {alias}")
        return entries.failed(f"alias {alias} exists")
    except NoEntryError:
        domain = alias.rpartition("@")[2]
        return entries.failed(f"no domain {domain}; add it with `iems domain add {domain}`")
    entries.changed("added", f"alias {alias}")
    _warn(alias, arguments.targets, admin)
    return entries.OK


def _warn(alias: str, targets: Sequence[Address], admin: Admin) -> None:
    directory = admin.directory(entries.warn)
    deadline = Deadline.after(_CHECK)
    if not alias.startswith("@"):
        address = Address.parse(alias)
        found = directory.find([address], deadline).get(address.key)
        if found and (isinstance(found, User) or found.user) and address not in targets:
            entries.warn(f"user {alias} gets no mail any more; keep a copy with {alias} as target")
    for target in targets:
        try:
            reached = resolve(directory, target, deadline)
            if all(one.nobody and not one.training for one in reached):
                entries.warn(f"{canonical(target)} is nobody yet")
        except UnreasonableAlias as error:
            entries.warn(f"{error}: Postfix will not accept such mail")


def _delete(alias: str, admin: Admin) -> int:
    try:
        admin.delete_alias(alias)
    except NoEntryError:
        return entries.failed(f"no alias {alias}")
    entries.changed("deleted", f"alias {alias}")
    if not alias.startswith("@") and Address.parse(alias).role:
        entries.warn(f"mail for {alias} must have a reader (RFC 5321, RFC 2142)")
    return entries.OK


def _alias(text: str) -> str:
    try:
        return alias_entry(text)[1]
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
