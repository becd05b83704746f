"""`iems user VERB`: the mailboxes, who can log in, send and receive, and their address books.

A disabled account keeps its mail: new mail is refused with the reason, and nobody logs in.
Exit 0 done, 1 refused (it exists, it does not, no such domain), 75 the directory cannot answer.
A password is printed only if it was generated here.
"""

from __future__ import annotations

import argparse

from cli import bulk, entries, secret
from cli.bayes import leaving
from iems.directory import books
from iems.directory.account import BAYES, KINDS, POP3, SEND_ONLY, reason
from iems.directory.admin import Admin
from iems.directory.person import ATTRIBUTES as PERSON
from iems.directory.person import LONGEST, line
from iems.directory.store import EntryExistsError, NoEntryError
from iems.directory.tree import (
    ADDRESS,
    DISABLED,
    FILTER,
    FORWARD,
    KIND,
    LANGUAGE,
    LOCKED,
    READS,
    TARGET,
    canonical,
)
from iems.model.address import Address
from iems.settings.read import LANGUAGES
from iems.settings.schema import Settings

_FULL = "full"
_SITE = "site"
_DEFAULT = "default"
_POP3_ONLY = "he reads by POP3 alone and never sees Junk: junk is tagged unless he chose it"
_FOR_GOOD = b"000001010000Z"
"""What pwdAccountLockedTime holds of an account that no lapse of time unlocks."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`add|set|password|show|delete ADDRESS`, `list [DOMAIN]`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="give somebody a mailbox; prints the password it makes")
    add.add_argument("address", type=entries.address)
    entries.exists_ok(add)
    add.add_argument("--pop3-only", action="store_true", help=_POP3_ONLY)
    give = verbs.add_parser("password", help="give a user another password; prints what it makes")
    give.add_argument("address", type=entries.address)
    for verb in (add, give):
        verb.add_argument(
            "--password-file",
            metavar="FILE",
            help="the password is the first line of this file, of standard input with -",
        )
    _set_arguments(verbs.add_parser("set", help="shut an account, say what it is for, forward"))
    show = verbs.add_parser("show", help="one user, and what leads to him")
    show.add_argument("address", type=entries.address)
    show.add_argument("--json", action="store_true", help="one JSON object")
    entries.list_options(verbs.add_parser("list", help="all users"))
    bulk.add_verbs(verbs, "user")
    give = verbs.add_parser("address-books", help="give an address book to everybody who has none")
    give.add_argument("domain", nargs="?", type=entries.domain, help="only in this domain")
    delete = verbs.add_parser(
        "delete",
        help="take an account, its contacts and what it has trained away; its mail is not touched",
    )
    delete.add_argument("address", type=entries.address)


def _set_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("address", type=entries.address)
    state = verb.add_mutually_exclusive_group()
    state.add_argument(
        "--disabled",
        type=_reason,
        metavar="REASON",
        help="refuse mail, with the reason to the sender, and logins; the mail is kept",
    )
    state.add_argument("--enabled", action="store_true", help="take mail and logins again")
    lock = verb.add_mutually_exclusive_group()
    lock.add_argument("--locked", action="store_true", help="refuse logins, take mail")
    lock.add_argument(
        "--unlocked", action="store_true", help="let him in again, after wrong passwords too"
    )
    verb.add_argument("--kind", choices=(_FULL, *KINDS), help="what the account is for")
    reads = verb.add_mutually_exclusive_group()
    reads.add_argument("--pop3-only", action="store_true", help=_POP3_ONLY)
    reads.add_argument("--imap", action="store_true", help="he sees Junk, too")
    verb.add_argument(
        "--language",
        choices=(_SITE, *LANGUAGES),
        help=f"in which digests are written to him; {_SITE}: that of the settings",
    )
    verb.add_argument(
        "--bayes",
        choices=(_DEFAULT, *BAYES),
        help=f"his own filter (docs/checks/bayes.md); {_DEFAULT}: as the settings say",
    )
    verb.add_argument(
        "--person",
        type=_said,
        nargs="+",
        metavar="NAME=VALUE",
        help=f"what texts say of him (docs/edits.md): {', '.join(PERSON)}; without a VALUE nothing",
    )
    forward = verb.add_mutually_exclusive_group()
    forward.add_argument(
        "--forward",
        type=entries.address,
        nargs="+",
        metavar="TARGET",
        help="send his mail there instead",
    )
    forward.add_argument("--no-forward", action="store_true", help="leave his mail to him")
    verb.add_argument("--keep", action="store_true", help="forward, and keep a copy in his mailbox")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    if arguments.verb in {"import", "export"}:
        return bulk.run(arguments, admin, settings, "user")
    if arguments.verb == "add":
        return _add(arguments, admin)
    if arguments.verb == "delete":
        return _delete(arguments.address, admin, settings)
    if arguments.verb == "password":
        return _give(arguments, admin)
    if arguments.verb == "set":
        return _set(arguments, admin)
    if arguments.verb == "address-books":
        return _give_books(arguments.domain, admin)
    if arguments.verb == "show":
        return _show(arguments.address, admin, as_json=arguments.json)
    users = [text for text in admin.users() if entries.in_domain(text, arguments.domain)]
    return entries.listed(users, [{"address": text} for text in users], as_json=arguments.json)


def _add(arguments: argparse.Namespace, admin: Admin) -> int:
    address: Address = arguments.address
    try:
        password = _password(arguments)
        admin.add_user(address, password, [POP3.encode()] if arguments.pop3_only else [])
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
    code = _told(arguments, password)
    books.make(admin, [canonical(address)])
    return code


def _give_books(domain: str | None, admin: Admin) -> int:
    users = [text for text in admin.users() if entries.in_domain(text, domain)]
    made = books.make(admin, books.missing(admin, users))
    return entries.changed(
        "added" if made else "unchanged", f"address books: {made} of {len(users)}"
    )


def _give(arguments: argparse.Namespace, admin: Admin) -> int:
    address: Address = arguments.address
    try:
        password = _password(arguments)
        admin.set_password(address, password)
    except NoEntryError:
        return entries.failed(f"no user {canonical(address)}")
    except (OSError, ValueError) as error:
        return entries.failed(str(error))
    entries.changed("set", f"password of {canonical(address)}")
    return _told(arguments, password)


def _password(arguments: argparse.Namespace) -> str:
    file: str | None = arguments.password_file
    return secret.generated() if file is None else secret.lines(file, 1)[0]


def _told(arguments: argparse.Namespace, password: str) -> int:
    if arguments.password_file is None:
        print(f"password {password}")
    return entries.OK


def _set(arguments: argparse.Namespace, admin: Admin) -> int:
    address: Address = arguments.address
    wanted = _wanted(arguments)
    if not wanted or (arguments.keep and not arguments.forward):
        return entries.failed("nothing to set; see `iems user set --help`", entries.USAGE)
    try:
        changed = admin.set_user(address, wanted)
    except NoEntryError:
        return entries.failed(f"no user {canonical(address)}")
    entries.changed("set" if changed else "unchanged", f"user {canonical(address)}")
    if arguments.disabled or arguments.kind == SEND_ONLY:
        _warn(address, admin)
    return entries.OK


def _wanted(arguments: argparse.Namespace) -> dict[str, list[bytes]]:
    wanted: dict[str, list[bytes]] = {}
    if arguments.disabled or arguments.enabled:
        wanted[DISABLED] = [arguments.disabled.encode()] if arguments.disabled else []
    if arguments.locked or arguments.unlocked:
        wanted[LOCKED] = [_FOR_GOOD] if arguments.locked else []
    if arguments.kind:
        wanted[KIND] = [] if arguments.kind == _FULL else [arguments.kind.encode()]
    if arguments.pop3_only or arguments.imap:
        wanted[READS] = [POP3.encode()] if arguments.pop3_only else []
    if arguments.language:
        wanted[LANGUAGE] = [] if arguments.language == _SITE else [arguments.language.encode()]
    if arguments.bayes:
        wanted[FILTER] = [] if arguments.bayes == _DEFAULT else [arguments.bayes.encode()]
    for name, value in arguments.person or ():
        wanted[PERSON[name]] = [value.encode()] if value else []
    if arguments.forward or arguments.no_forward:
        targets = {canonical(one) for one in arguments.forward or ()}
        targets |= {canonical(arguments.address)} if arguments.keep else set()
        wanted[FORWARD] = [target.encode() for target in sorted(targets)]
    return wanted


def _show(address: Address, admin: Admin, *, as_json: bool) -> int:
    try:
        row = admin.user(address)
    except NoEntryError:
        return entries.failed(f"no user {canonical(address)}")
    found: dict[str, object] = {
        "address": canonical(address),
        "disabled": next(iter(row.texts(DISABLED)), None),
        "locked": bool(row.attributes.get(LOCKED)),
        "kind": next(iter(row.texts(KIND)), _FULL),
        "pop3_only": row.texts(READS) == (POP3,),
        "language": next(iter(row.texts(LANGUAGE)), None),
        "bayes": next(iter(row.texts(FILTER)), None),
        "person": {name: row.texts(one)[0] for name, one in PERSON.items() if row.texts(one)},
        "forward": sorted(row.texts(FORWARD)),
        "aliases": sorted(_leading_to(address, admin)),
        "administers": sorted(admin.acting_as(address).actor.domains),
    }
    if as_json:
        return entries.listed((), found, as_json=True)
    shown = ((name, _text(one)) for name, one in found.items() if one)
    return entries.listed((f"{name:<12} {one}" for name, one in shown), (), as_json=False)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return "yes" if value is True else str(value)


def _leading_to(address: Address, admin: Admin) -> list[str]:
    rows = admin.rows((TARGET, canonical(address)))
    return [text for row in rows for text in row.texts(ADDRESS)]


def _warn(address: Address, admin: Admin) -> None:
    for alias in _leading_to(address, admin):
        entries.warn(f"alias {alias} still leads to {canonical(address)}")


def _delete(address: Address, admin: Admin, settings: Settings) -> int:
    try:
        admin.delete_user(address)
    except NoEntryError:
        return entries.failed(f"no user {canonical(address)}")
    entries.changed("deleted", f"user {canonical(address)}")
    leaving.forget([canonical(address)], settings.bayes)
    _warn(address, admin)
    return entries.OK


def _said(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if name not in PERSON or not equals:
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected NAME=VALUE with one of {', '.join(PERSON)}"
        )
    if value != line(value):
        raise argparse.ArgumentTypeError(f"{text!r}; expected one line, at most {LONGEST} letters")
    if not value and name in {"name", "surname"}:
        raise argparse.ArgumentTypeError(f"{text!r}; everybody has a {name}")
    return name, value


def _reason(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a reason; --enabled opens the account")
    try:
        return reason(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
