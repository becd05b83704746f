"""`iems vacation on|off|show USER`: who is away says so to those who write to him.

Each gets it once in some days. Lists, bulk mail, programs, null senders and junk are not answered,
nor is who has not written to an address of the user's own: his account, or an alias that leads to
nobody else. `off` keeps the text for the next time. It stands among the user's rules
(`iems mailsort`), and is installed with them.
Exit 0 done, 1 refused, 75 directory or Dovecot cannot answer now, 77 not allowed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from dataclasses import fields, replace
from pathlib import Path

from cli import entries
from cli.mailsort.desk import Desk
from cli.mailsort.set import force_option, kept
from iems.directory.admin import Admin
from iems.directory.store import NoEntryError
from iems.directory.tree import canonical
from iems.settings.schema import Settings
from sieve.mailsort.read import MailsortError
from sieve.mailsort.rule import Vacation
from sieve.mailsort.values import MOST_TEXT

_MOST = 4 * MOST_TEXT + 1
"""Bytes of a text: more than are taken, of whatever letters."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`on|off|show USER`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    on = verbs.add_parser("on", help="answer from now on, or from a day on")
    off = verbs.add_parser("off", help="answer no more")
    show = verbs.add_parser("show", help="print what is answered, and when")
    for verb in (on, off, show):
        entries.as_option(verb)
        verb.add_argument("user", type=entries.address, metavar="USER")
    for verb in (on, off):
        force_option(verb)
    text = on.add_mutually_exclusive_group()
    text.add_argument("--text", type=entries.given, help="what is answered; without, as before")
    text.add_argument("--text-file", type=Path, metavar="FILE", help="the same; - standard input")
    on.add_argument("--html-file", type=Path, metavar="FILE", help="the same text as HTML besides")
    on.add_argument("--subject", help="subject of the answer; empty: Auto: and that of the mail")
    on.add_argument("--days", type=int, help="days until the same sender is answered again")
    on.add_argument(
        "--since", type=_day, metavar="DAY", help="first day, YYYY-MM-DD; empty: at once"
    )
    on.add_argument("--until", type=_day, metavar="DAY", help="last day; empty: until it is off")
    show.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    try:
        for name in ("text", "html"):
            file: Path | None = getattr(arguments, f"{name}_file", None)
            if file is not None:
                setattr(arguments, name, _read(file))
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        return entries.failed(str(error))
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    desk = Desk(admin, settings)
    try:
        rules = desk.rules(arguments.user)
        if arguments.verb == "show":
            return _show(rules.vacation, _others(desk, arguments), as_json=arguments.json)
    except NoEntryError:
        return entries.failed(f"no user {arguments.user}")
    except MailsortError as error:
        return desk.unusable(arguments.user, error)
    vacation = rules.vacation
    if arguments.verb == "on":
        vacation = _on(vacation or Vacation(""), arguments)
        if not vacation.text:
            return entries.failed("there is no text yet; --text says it", entries.USAGE)
    elif vacation is not None:
        vacation = replace(vacation, enabled=False)
    return kept(desk, arguments.user, replace(rules, vacation=vacation), force=arguments.force)


def _on(vacation: Vacation, arguments: argparse.Namespace) -> Vacation:
    """The vacation with what was given, and the rest as it was; the days of the last one end."""
    said = {
        name: value
        for name in ("text", "html", "subject", "days")
        if (value := getattr(arguments, name, None)) is not None
    }
    if "text" in said:
        said.setdefault("html", "")
    return replace(vacation, **said, since=arguments.since, until=arguments.until, enabled=True)


def _others(desk: Desk, arguments: argparse.Namespace) -> list[str]:
    return [canonical(arguments.user), *desk.shelf.others(arguments.user)]


def _show(vacation: Vacation | None, addresses: list[str], *, as_json: bool) -> int:
    if vacation is None:
        return entries.listed(["off"], None, as_json=as_json)
    row = {one.name: getattr(vacation, one.name) for one in fields(vacation)}
    row["addresses"] = sorted({*addresses, *vacation.addresses})
    if as_json:
        print(json.dumps(row, indent=2, default=str))
        return entries.OK
    state = "on" if row.pop("enabled") else "off"
    shown = {name: value for name, value in row.items() if value not in (None, "", [])}
    shown["addresses"] = ", ".join(row["addresses"])
    text = shown.pop("text", "")
    lines = [state, *(f"{name:<10} {value}" for name, value in shown.items()), ""]
    return entries.listed([*lines, *str(text).splitlines()], None, as_json=False)


def _read(file: Path) -> str:
    if file == Path("-"):
        return sys.stdin.buffer.read(_MOST).decode()
    with file.open("rb") as stream:
        return stream.read(_MOST).decode()


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a day, YYYY-MM-DD") from None
