"""`iems queue [list|hold|release|requeue|delete]`: what waits in the queues of this machine.

All Postfix instances are looked at, each for itself. `list` puts alike what is alike: by instance,
queue, the channel by which a message came (known from the milter's records), the domain it goes to,
its age and the reason of its delay. The other verbs do it to all that the filter chooses, and to
nothing without one; a message is chosen as a whole, for one of its recipients. One that is requeued
gets another queue id, by which there are no records, and keeps its findings. Exit 0 done, 1 not
wanted after all, 2 no filter, 75 Postfix cannot be asked, 77 not root.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cli import entries
from cli.alike import FIELDS, Groups, each, row
from cli.postfix import PostfixError
from cli.queued import QUEUES, VERBS, Filter, Instance, Message, Test, act, instances, messages
from cli.why import age
from iems.serve.log import Log
from iems.settings.load import load
from iems.store.records import RecordsError, channels

_FILTERS = ("sender", "recipient", "domain", "older", "reason", "queue", "instance", "channel")
_DONE = {"hold": "held", "release": "released", "requeue": "requeued", "delete": "deleted"}
_UNKNOWN = "-"

_BATCH = 500
"""Messages whose channels are looked up at once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb, which messages, and how to answer."""
    parser.add_argument(
        "verb", nargs="?", choices=("list", *VERBS), default="list", help="default: %(default)s"
    )
    chosen = parser.add_argument_group("filter", "all that is given must be so")
    chosen.add_argument(
        "--sender", type=_wild, metavar="ADDRESS", help="* for any letters, <> for bounces"
    )
    chosen.add_argument("--recipient", type=_wild, metavar="ADDRESS", help="* for any letters")
    chosen.add_argument("--domain", type=entries.domain, help="that of a recipient")
    chosen.add_argument(
        "--older", type=age, metavar="TIME", help="came before: as `iems why --since`"
    )
    chosen.add_argument(
        "--reason", type=entries.given, metavar="TEXT", help="part of the reason of the delay"
    )
    chosen.add_argument("--queue", choices=sorted(QUEUES), help="where it waits")
    chosen.add_argument("--instance", metavar="NAME", help="the Postfix where it waits")
    chosen.add_argument("--channel", metavar="NAME", help="by which it came")
    chosen.add_argument("--all", action="store_true", help="no filter: all there is")
    parser.add_argument(
        "--by",
        nargs="+",
        choices=FIELDS,
        default=FIELDS,
        metavar="FIELD",
        help=f"list: what makes messages alike; default: {' '.join(FIELDS)}",
    )
    parser.add_argument("--each", action="store_true", help="list: a line for each message")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done")
    parser.add_argument("--yes", action="store_true", help="delete without a question")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object; with --each one for each message"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if os.geteuid() != 0:
        return entries.failed("only root sees everybody's mail", entries.NOT_ALLOWED)
    given = [name for name in _FILTERS if getattr(arguments, name) is not None]
    if arguments.all and given:
        return entries.failed("--all and a filter exclude each other", entries.USAGE)
    if arguments.verb != "list" and not (arguments.all or given):
        return entries.failed(f"{arguments.verb} which? Give a filter, or --all", entries.USAGE)
    records = load(arguments.settings).milter.state / "records.sqlite"
    try:
        places = instances()
        known = [one.name for one in places]
        if arguments.instance not in {None, *known}:
            told = f"no instance {arguments.instance}; there is {', '.join(known)}"
            return entries.failed(told, entries.USAGE)
        places = [one for one in places if arguments.instance in {None, one.name}]
        found = _Chosen(arguments, records)
        if arguments.verb == "list":
            return _list(arguments, places, found)
        return entries.audited(lambda log: _act(arguments, places, found, log))
    except PostfixError as error:
        return entries.failed(entries.shown(str(error)), entries.TEMPORARY)


class _Chosen:
    """The messages of an instance that the filter of the arguments chooses, with their channels."""

    def __init__(self, arguments: argparse.Namespace, records: Path) -> None:
        self._filter = _filter(arguments)
        self._channel: str | None = arguments.channel
        self._records: Path | None = records

    def of(self, instance: Instance) -> Iterator[Message]:
        """As they are read."""
        meant = filter(None, map(self._filter.chosen, messages(instance)))
        while batch := list(itertools.islice(meant, _BATCH)):
            known = self._known([one.queue_id for one in batch])
            for one in batch:
                channel = known.get(one.queue_id, _UNKNOWN)
                if self._channel in {None, channel}:
                    yield dataclasses.replace(one, channel=channel)

    def _known(self, queue_ids: list[str]) -> dict[str, str]:
        if self._records is None:
            return {}
        try:
            return channels(self._records, queue_ids)
        except RecordsError as error:
            entries.warn(f"no channel is known: {error}")
            self._records = None
            return {}


def _filter(arguments: argparse.Namespace) -> Filter:
    said = {
        "sender": arguments.sender,
        "recipient": arguments.recipient,
        "domain": arguments.domain,
    }
    said |= {"reason": arguments.reason, "before": arguments.older}
    queues = QUEUES if arguments.queue is None else frozenset({arguments.queue})
    if arguments.verb != "list":
        queues -= {"maildrop"}  # not yet taken in: postsuper does nothing there unless told so
    if arguments.verb == "hold":
        queues -= {"hold"}
    if arguments.verb == "release":
        queues &= {"hold"}
    return Filter(**{name: one for name, one in said.items() if one is not None}, queues=queues)


def _wild(text: str) -> Test:
    """An argument that is an address, in which * stands for any letters, and <> for none."""
    parts = entries.given(text).removeprefix("<").removesuffix(">").split("*")
    pattern = re.compile(".*".join(map(re.escape, parts)), re.IGNORECASE | re.DOTALL)
    return lambda address: pattern.fullmatch(address) is not None


def _list(arguments: argparse.Namespace, places: Sequence[Instance], found: _Chosen) -> int:
    """Each message, or the groups; what cannot be read does not hide the rest."""
    groups, failed = Groups(arguments.by), False
    for place in places:
        try:
            for message in found.of(place):
                if arguments.each:
                    print(json.dumps(row(message)) if arguments.json else each(message))
                else:
                    groups.add(message)
        except PostfixError as error:
            entries.failed(entries.shown(str(error)))
            failed = True
    if not arguments.each:
        names = [one.name for one in places]
        entries.listed(groups.lines(names), groups.rows(names), as_json=arguments.json)
    return entries.TEMPORARY if failed else entries.OK


def _act(
    arguments: argparse.Namespace, places: Sequence[Instance], found: _Chosen, log: Log
) -> int:
    """Choose first and then do it, so that a question can say to how many."""
    verb, quiet = arguments.verb, arguments.json
    meant = {place: _meant(arguments, found.of(place)) for place in places}
    count = sum(map(len, meant.values()))
    asks = verb == "delete" and count and not (arguments.yes or arguments.dry_run)
    if asks and not sys.stdin.isatty():
        return entries.failed("delete asks, and nobody is there to answer: --yes", entries.USAGE)
    if asks and not _confirmed(f"delete {_messages(count)} for good?"):
        return entries.failed("nothing was deleted")
    done: dict[str, dict[str, int]] = {}
    for place, ids in meant.items():
        if not ids:
            continue
        number = len(ids) if arguments.dry_run else act(verb, place, ids)
        done[place.name] = {"chosen": len(ids), _DONE[verb]: number}
        if not arguments.dry_run:
            thing = f"{number} queued messages of {place.name}"
            log.info("audit", actor=entries.operator(), verb=verb, object=thing, result="done")
        if not quiet:
            would = "would be: " if arguments.dry_run else ""
            print(f"{would}{_DONE[verb]} {number} of {_messages(len(ids))} in {place.name}")
    if quiet:
        print(json.dumps({"verb": verb, "dry_run": arguments.dry_run, "instances": done}, indent=2))
    elif not done:
        print("unchanged: no such message")
    return entries.OK


def _meant(arguments: argparse.Namespace, chosen: Iterable[Message]) -> list[str]:
    ids = []
    for message in chosen:
        ids.append(message.queue_id)
        if arguments.dry_run and not arguments.json:
            print(each(message))
    return ids


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def _confirmed(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
