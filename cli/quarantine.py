"""`iems quarantine list|show|release|delete`: the messages that are kept from their recipients.

A release hands the message to the running agent, which delivers it past the rule that led to
quarantine, to its original recipient alone; whatever else keeps it still does, and is told. With
`--as` only that user's messages, or those of domains that he administers, and only past what they
could choose to have delivered: what the site enforces the administrator alone passes
(docs/quarantine.md).
Exit 0 done, 1 refused or no such message, 75 it cannot be delivered now and stays, 77 not allowed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cli import entries
from cli.owner import as_owner
from cli.releasing import AgentError, ask
from cli.why import age, explain
from iems.codec.header import split_message
from iems.codec.printable import printable
from iems.codec.release import Release
from iems.directory.authority import Actor, Audit, NotAuthorisedError, Thing, authorise
from iems.directory.connect import audit
from iems.model.policy import Action, Kind
from iems.serve.log import Log
from iems.settings.load import load
from iems.settings.schema import Settings
from iems.store.held import BandKey, Held, HeldFor, held
from iems.store.quarantine import Quarantine
from iems.store.records import Record
from iems.store.spool import HEADER_LIMIT
from lmtp.release import FORBIDDEN

_LINE = "{at} {id} {recipient} <{sender}> {check}:{band}"
_ORIGINAL = "delivered without parts"
"""Of what is kept as it was."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, `show ID`, `release ID...`, `delete ID...`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    every = verbs.add_parser("list", help="what is in quarantine, the oldest first")
    show = verbs.add_parser("show", help="why a message is there, its envelope and its header")
    release = verbs.add_parser("release", help="deliver messages to whom they were for")
    delete = verbs.add_parser("delete", help="remove messages for good")
    for verb in (every, show, release, delete):
        entries.as_option(verb)
    for verb in (every, release, delete):
        verb.add_argument(
            "--recipient",
            type=entries.given,
            metavar="ADDRESS|DOMAIN",
            help="only for this recipient",
        )
    every.add_argument("--sender", default="", metavar="ADDRESS|DOMAIN", help="only of this sender")
    every.add_argument("--check", type=_rule, metavar="CHECK[:BAND]", help="only by this rule")
    every.add_argument(
        "--since", type=age, default=0.0, metavar="TIME", help="not longer; as `iems why`"
    )
    every.add_argument(
        "--before", type=age, default=float("inf"), metavar="TIME", help="for longer than this"
    )
    every.add_argument("--json", action="store_true", help="one JSON array")
    show.add_argument("id", metavar="ID")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_true", help="the message itself, into a file or pipe")
    form.add_argument("--json", action="store_true", help="the description, a JSON object")
    release.add_argument(
        "--rule",
        type=_rule,
        action="append",
        metavar="CHECK:BAND",
        help="past this rule instead of the one that led to quarantine; may be given again",
    )
    for verb in (release, delete):
        verb.add_argument("ids", nargs="+", metavar="ID")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    settings = load(arguments.settings)
    return entries.audited(lambda log: act(arguments, _desk(arguments, settings, log)))


@dataclass(frozen=True)
class Desk:
    """Where somebody looks into quarantine, with his rights."""

    settings: Settings
    actor: Actor
    audit: Audit

    @property
    def store(self) -> Quarantine:
        """The agent's."""
        return Quarantine(self.settings.agent.state / "quarantine")

    def find(self, name: str, verb: str, recipient: str = "") -> Held:
        """The message, with those of its recipients for whom the actor may do this.

        FileNotFoundError where there is none such; that there is one for others is not told.
        """
        message = held(self.store.describe(name))
        rows = [one for one in message.recipients if _named(one.address, recipient)]
        mine = tuple(one for one in rows if self.may(verb, one))
        if not mine:
            for one in rows:
                self.told(verb, one, f"{name} NotAuthorisedError")
            raise FileNotFoundError(name)
        return replace(message, id=name, recipients=mine)

    def told(self, verb: str, whom: HeldFor, result: str) -> None:
        """Tell the audit."""
        self.audit(self.actor, verb, Thing("quarantine", whom.whose), result)

    def rights(self, whom: HeldFor) -> Kind:
        """By whose rights the actor releases it."""
        if self.actor.subject.kind is Kind.SITE:
            return Kind.SITE
        administers = whom.whose.rpartition("@")[2] in self.actor.domains
        return Kind.DOMAIN if administers else Kind.USER

    def may(self, verb: str, whom: HeldFor) -> bool:
        """Whether the actor may do this for the recipient."""
        try:
            authorise(self.actor, verb, Thing("quarantine", whom.whose))
        except NotAuthorisedError:
            return False
        return True


def _desk(arguments: argparse.Namespace, settings: Settings, log: Log) -> Desk:
    actor = Actor(login=entries.operator())
    if arguments.as_user:
        actor = entries.opened(arguments, settings, log).actor
    return Desk(settings, actor, audit(log))


def act(arguments: argparse.Namespace, desk: Desk) -> int:
    """The same, with the desk given."""
    if arguments.verb == "list":
        with as_owner(desk.settings.agent.state):
            return _list(arguments, desk)
    names = [arguments.id] if arguments.verb == "show" else dict.fromkeys(arguments.ids)
    return max(_tried(name, arguments, desk) for name in names)


def _tried(name: str, arguments: argparse.Namespace, desk: Desk) -> int:
    """Do what the verb says with one message, or say why not."""
    try:
        with as_owner(desk.settings.agent.state):
            if arguments.verb == "show":
                return _show(desk.find(name, "show"), arguments, desk)
            message = desk.find(name, arguments.verb, arguments.recipient or "")
            if arguments.verb == "delete":
                return _delete(message, desk)
        return max(_release(message, one, arguments.rule, desk) for one in message.recipients)
    except FileNotFoundError:
        whom = "" if desk.actor.subject.kind is Kind.SITE else f" for {desk.actor}"
        return entries.failed(f"no message {printable(name)} in quarantine{whom}")
    except ValueError as error:
        return entries.failed(f"{printable(name)}: {error}")
    except BlockingIOError:
        return entries.failed(f"{name} is being released now", entries.TEMPORARY)
    except (PermissionError, BrokenPipeError):
        raise
    except OSError as error:
        return entries.failed(f"{name}: {error.strerror}", entries.TEMPORARY)


def _list(arguments: argparse.Namespace, desk: Desk) -> int:
    rows = (
        row
        for name in desk.store.oldest_first(arguments.since, arguments.before)
        for row in _rows(name, arguments, desk)
    )
    if arguments.json:
        before = "["
        for row in rows:
            print(f"{before}\n{json.dumps(row)}", end="")
            before = ","
        print("\n]" if before == "," else "[]")
        return entries.OK
    for row in rows:
        line = _LINE.format(**row, at=_time(row["time"]))
        print(entries.shown(f"{line} {_ORIGINAL}" if row["original"] else line))
    return entries.OK


def _rows(name: str, arguments: argparse.Namespace, desk: Desk) -> Iterator[dict[str, Any]]:
    """One for each recipient whom the actor may see and the filters let pass."""
    try:
        message = held(desk.store.describe(name))
    except FileNotFoundError:
        return  # it was released meanwhile
    except ValueError as error:
        entries.warn(f"{name}: {error}")
        return
    check, band = arguments.check or ("", "")
    for one in message.recipients:
        rule = one.decisive or ("", "")
        if (
            desk.may("show", one)
            and _named(one.address, arguments.recipient or "")
            and _named(message.sender, arguments.sender)
            and check in {"", rule[0]}
            and band in {"", rule[1]}
        ):
            yield {
                "id": name,
                "time": message.time,
                "recipient": one.address,
                "sender": message.sender,
                "check": rule[0],
                "band": rule[1],
                "reference": message.reference,
                "original": message.original,
            }


def _show(message: Held, arguments: argparse.Namespace, desk: Desk) -> int:
    with desk.store.opened(message.id) as file:
        if arguments.raw:
            if sys.stdout.isatty():
                return entries.failed(
                    "a terminal could be commanded by it; say > FILE", entries.USAGE
                )
            sys.stdout.flush()
            shutil.copyfileobj(file, sys.stdout.buffer)
            return entries.OK
        size = os.fstat(file.fileno()).st_size
        header, _body = split_message(file.read(HEADER_LIMIT + 2))
    if arguments.json:
        told: dict[str, Any] = desk.store.describe(message.id)
        mine = {one.address for one in message.recipients}
        rows = told["recipients"]
        told["recipients"] = [row for row in rows if row["address"] in mine]
        return entries.listed((), told, as_json=True)
    print(f"{message.id}, {size} bytes" + (f", {_ORIGINAL}" if message.original else ""))
    for one in message.recipients:
        print("\n".join(explain(_record(message, one))))
    print()
    for line in header.decode("utf-8", "replace").splitlines():
        print(entries.shown(line))
    return entries.OK


def _record(message: Held, whom: HeldFor) -> Record:
    """What `iems why` explains."""
    return Record(
        reference=message.reference,
        stage="kept",
        action=(Action.REMOVE if message.original else Action.QUARANTINE).word,
        recipient=whom.address,
        subject=whom.subject,
        queue_id=message.queue_id,
        channel=message.channel,
        client=message.client,
        sender=message.sender,
        details=whom.details,
        time=message.time,
    )


def _delete(message: Held, desk: Desk) -> int:
    with desk.store.claimed(message.id):
        desk.store.drop(message.id, {one.address for one in message.recipients})
    for one in message.recipients:
        desk.told("delete", one, f"{message.id} done")
        entries.changed("deleted", f"{message.id} {printable(one.address)}")
    return entries.OK


def _release(message: Held, whom: HeldFor, rules: list[BandKey] | None, desk: Desk) -> int:
    found = [why.rule for why in whom.reasons]
    for check, band in rules or ():
        if (check, band) not in found:
            known = ", ".join(map(":".join, found)) or "none"
            told = f"{message.id} is not kept by {check}:{band}; there are: {known}"
            return entries.failed(entries.shown(told))
    decisive = [whom.decisive] if whom.decisive else []
    wanted = Release(
        message.id,
        whom.address,
        tuple(rules or decisive),
        desk.rights(whom).value,
        printable(str(desk.actor.login), 100),
        int(time.time()),
    )
    try:
        answer = ask(wanted, desk.settings)
    except AgentError as error:
        desk.told("release", whom, f"{message.id} {error}")
        return entries.failed(f"{message.id} {printable(whom.address)}: {error}", entries.TEMPORARY)
    if answer.positive:
        desk.told("release", whom, f"{message.id} done")
        return entries.changed("released", f"{message.id} {printable(whom.address)}")
    desk.told("release", whom, f"{message.id} {answer}")
    code = entries.TEMPORARY if answer.temporary else entries.NEGATIVE
    code = entries.NOT_ALLOWED if answer.code == FORBIDDEN else code
    return entries.failed(f"{message.id} {printable(whom.address)}: {printable(str(answer))}", code)


def _named(address: str, wanted: str) -> bool:
    """Whether it is this address, or in this domain; any with an empty text."""
    have, text = address.casefold(), wanted.casefold()
    return text in {"", have, have.rpartition("@")[2]}


def _rule(text: str) -> BandKey:
    check, _colon, band = text.lower().partition(":")
    return check, band


def _time(time: float) -> str:
    return f"{datetime.datetime.fromtimestamp(time, datetime.UTC):%Y-%m-%d %H:%M:%S}Z"
