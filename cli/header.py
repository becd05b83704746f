"""`iems header set|remove|list`: rules about header fields that a domain or list makes.

A rule has a name, what is done with mail that it fits, a field and a test (docs/checks/header.md).
There is one rule of a name: a new one takes the place of the last. With `--as` only the rules of
domains that this user administers.
Exit 0 done, 1 refused, 75 the directory cannot answer, 77 not allowed.
"""

from __future__ import annotations

import argparse

from cli import entries
from cli.policy import forbidden, layers
from iems.codec.headers import OwnRule
from iems.codec.rule import Operator
from iems.directory.admin import Admin
from iems.directory.authority import Thing
from iems.directory.policy import with_headers
from iems.directory.store import NoEntryError
from iems.model.finding import MATCHED
from iems.model.policy import Action, Kind, Layer, Subject
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`set SUBJECT NAME ACTION FIELD TEST [VALUE]`, `remove SUBJECT NAME`, `list SUBJECT`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    make = verbs.add_parser("set", help="make a rule, or another one of this name")
    remove = verbs.add_parser("remove", help="take a rule away")
    show = verbs.add_parser("list", help="print the rules")
    for verb in (make, remove, show):
        entries.as_option(verb)
        verb.add_argument("subject", type=entries.subject, metavar="DOMAIN|ADDRESS")
    for verb in (make, remove):
        verb.add_argument("name", type=_word, metavar="NAME")
    make.add_argument(
        "action", choices=[action.word for action in Action], metavar="ACTION", help="what is done"
    )
    make.add_argument("field", type=_word, metavar="FIELD", help="name of the header field")
    tests = [one.value for one in Operator]
    make.add_argument("test", choices=tests, metavar="TEST", help=", ".join(tests))
    make.add_argument("value", nargs="?", default="", metavar="VALUE", help="`matches` by RE2")
    make.add_argument("--raw", action="store_true", help="encoded words stay as they stand")
    make.add_argument("--case", action="store_true", help="upper and lower case are told apart")
    show.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    subject: Subject = arguments.subject
    verb: str = arguments.verb
    admin.authorise("show" if verb == "list" else "set", Thing("header", subject.name))
    subject = entries.owner(subject, admin)
    if subject.kind is Kind.USER:
        return entries.failed(f"{subject.name} is no mailing list, and a user has no such rules")
    try:
        if verb == "list":
            return _list(admin, subject, as_json=arguments.json)
        rule = _rule(arguments) if verb == "set" else None
        refusal = _refusal(rule, subject, admin, settings) if rule else ""
        if refusal:
            return entries.failed(refusal)
        done = admin.set_entry("header", subject, arguments.name, rule)
    except NoEntryError:
        return entries.failed(f"no {subject}")
    except ValueError as error:
        return entries.failed(str(error))
    word = "set" if rule else "removed"
    return entries.changed(word if done else "unchanged", f"{subject} {rule or arguments.name}")


def _word(text: str) -> str:
    if not text or " " in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not one word")
    return text


def _rule(arguments: argparse.Namespace) -> OwnRule:
    flags = [flag for flag in ("raw", "case") if getattr(arguments, flag)]
    test = ",".join([arguments.test, *flags])
    words = (arguments.name, arguments.action, arguments.field, test, arguments.value)
    return OwnRule.parse(" ".join(filter(None, words)))


def _refusal(rule: OwnRule, subject: Subject, admin: Admin, settings: Settings) -> str:
    above, own = layers(subject, admin, settings)
    return forbidden(rule.check(subject.name), MATCHED, rule.action, [*above, own])


def _list(admin: Admin, subject: Subject, *, as_json: bool) -> int:
    values = admin.entries("header", subject)
    found = with_headers(Layer(subject), values, entries.warn)
    rules = [
        OwnRule(
            check.rpartition("/")[2], found.rules[check, MATCHED].choice or Action.DELIVER, test
        )
        for check, test in sorted(found.headers.items())
    ]
    table = [{"name": one.name, "action": one.action.word, "test": one.test} for one in rules]
    return entries.listed(map(str, rules), table, as_json=as_json)
