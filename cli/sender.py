"""`iems sender allow|block|remove|list`: from whom a user, list or domain takes mail, or not.

A pattern is an address, a domain, `.domain` for what is below it, or a network (docs/senders.md).
There is one entry for a pattern: a new one takes the place of the last. With `--as` only the list
of that user, or those of a domain that he administers.
Exit 0 done, 1 refused, 75 the directory cannot answer, 77 not allowed.
"""

from __future__ import annotations

import argparse

from cli import entries
from iems.directory.admin import Admin
from iems.directory.authority import Thing
from iems.directory.policy import read_senders
from iems.directory.store import NoEntryError
from iems.model.policy import Subject
from iems.model.senders import SenderEntry, parse_pattern
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`allow|block|remove SUBJECT PATTERN`, `list SUBJECT`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    allow = verbs.add_parser("allow", help="deliver mail of a sender who is proven to be him")
    block = verbs.add_parser("block", help="take no mail of a sender")
    remove = verbs.add_parser("remove", help="take an entry out of the list")
    show = verbs.add_parser("list", help="print the list")
    for verb in (allow, block, remove, show):
        entries.as_option(verb)
        verb.add_argument("subject", type=entries.subject, metavar="ADDRESS|DOMAIN")
    for verb in (allow, block, remove):
        verb.add_argument("pattern", type=_pattern, metavar="PATTERN")
    allow.add_argument(
        "--unverified", action="store_true", help="without proof: whoever writes the name gets in"
    )
    show.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, _settings: Settings) -> int:
    """The same, with the directory given."""
    subject: Subject = arguments.subject
    verb: str = arguments.verb
    admin.authorise("show" if verb == "list" else "set", Thing("sender", subject.name))
    subject = entries.owner(subject, admin)
    try:
        if verb == "list":
            return _list(admin, subject, as_json=arguments.json)
        pattern: str = arguments.pattern
        entry = SenderEntry(pattern, verb == "allow", verb == "allow" and arguments.unverified)
        told = None if verb == "remove" else entry
        done = admin.set_entry("sender", subject, pattern, told)
    except NoEntryError:
        return entries.failed(f"no {subject}")
    except ValueError as error:
        return entries.failed(str(error))
    text = f"{subject} {pattern if verb == 'remove' else entry}"
    return entries.changed(
        ("removed" if verb == "remove" else "set") if done else "unchanged", text
    )


def _list(admin: Admin, subject: Subject, *, as_json: bool) -> int:
    found = read_senders(admin.entries("sender", subject), subject, entries.warn)
    shown = [found[pattern] for pattern in sorted(found)]
    table = [
        {
            "entry": "allow" if one.allows else "block",
            "pattern": one.pattern,
            "unverified": one.unverified,
        }
        for one in shown
    ]
    return entries.listed(map(str, shown), table, as_json=as_json)


def _pattern(text: str) -> str:
    try:
        return parse_pattern(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
