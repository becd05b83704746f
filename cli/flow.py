"""`iems flow list|hold|release`: accounts that are held, for they sent too much.

`hold USER` holds an account by hand; without a name it puts on hold what those who are held have in
Postfix's queue, and `release USER` frees account and messages. For root.
Exit 0 done, 1 the account is not held and has nothing on hold, 75 counts or queue do not answer,
77 not root.
"""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, nullcontext

from cli import entries
from cli.owner import as_owner
from cli.postfix import PostfixError
from cli.queued import act, instances
from cli.submitted import submitted
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.settings.load import load
from iems.settings.schema import Settings
from iems.store.counters import Counters, CountersError, Held
from iems.store.counting import connect
from milters.checks import flow

_SECONDS = 10.0
_BY_HAND = "held by hand"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, `hold [USER]`, `release USER`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("list", help="print the accounts that are held")
    show.add_argument("--json", action="store_true", help="one JSON array")
    hold = verbs.add_parser("hold", help="put on hold what held accounts have queued")
    hold.add_argument("user", nargs="?", metavar="USER", help="hold this account first")
    release = verbs.add_parser("release", help="free an account and its messages")
    release.add_argument("user", metavar="USER")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if os.geteuid() != 0:
        return entries.failed("only root sees everybody's mail", entries.NOT_ALLOWED)
    settings = load(arguments.settings)
    try:
        if arguments.verb == "list":
            return _list(settings, as_json=arguments.json)
        user = (arguments.user or "").casefold()
        verb = _release if arguments.verb == "release" else _hold
        return entries.audited(lambda log: verb(settings, user, log))
    except (CountersError, PostfixError, FileNotFoundError) as error:
        return entries.failed(entries.shown(str(error)), entries.TEMPORARY)


def _list(settings: Settings, *, as_json: bool) -> int:
    accounts = _held(settings)
    lines = (f"{one.user}  {_time(one.since)}  {one.why}" for one in accounts)
    rows = [{"user": one.user, "since": one.since, "why": one.why} for one in accounts]
    return entries.listed(lines, rows, as_json=as_json)


def _hold(settings: Settings, user: str, log: Log) -> int:
    if user:
        with _counters(settings) as counters:
            counters.hold(user, _BY_HAND, Deadline.after(_SECONDS), told=True)
        _audit(log, "hold", user)
    users, count = list[str](), 0
    # Who is held while a queue is looked through: systemd starts nothing anew for him meanwhile.
    while new := [one.user for one in _held(settings) if one.user not in users]:
        count += _queued("hold", new)
        users += new
    return entries.changed("held", f"{len(users)} accounts; {count} messages put on hold")


def _release(settings: Settings, user: str, log: Log) -> int:
    keys = [flow.key(name, user) for name in _limits(settings)]
    with _counters(settings) as counters:
        was_held = counters.release(user, keys, Deadline.after(_SECONDS))
    count = _queued("release", [user])
    if not was_held and not count:
        return entries.failed(f"{entries.shown(user)} is not held")
    _audit(log, "release", user)
    return entries.changed("released", f"{entries.shown(user)}; {count} messages go on")


def _queued(verb: str, users: Collection[str]) -> int:
    """Do it to what these users have in the queues; how many messages those were."""
    count = 0
    for instance in instances() if users else ():
        ids = submitted(instance, users, held=verb == "release")
        count += act(verb, instance, ids) if ids else 0
    return count


def _audit(log: Log, verb: str, user: str) -> None:
    thing = f"account {user}"
    log.info("audit", actor=entries.operator(), verb=verb, object=thing, result="done")


def _held(settings: Settings) -> list[Held]:
    with _counters(settings) as counters:
        return counters.held(Deadline.after(_SECONDS))


def _limits(settings: Settings) -> list[str]:
    """The names of the limits for users, as far as the check is on."""
    for check in settings.checks:
        if check.family == flow.NAME:
            limits = flow.parse(check.options, check.key, check.where).limits
            return [name for name, one in limits.items() if one.per == flow.USER]
    return []


@contextmanager
def _counters(settings: Settings) -> Iterator[Counters]:
    """The milter's counts; a file as the user to whom it belongs: root follows nobody's links."""
    folder = settings.milter.state
    owner = nullcontext() if settings.counters.shared else as_owner(folder)
    with owner, closing(connect(settings.counters, folder)) as counters:
        yield counters


def _time(moment: float) -> str:
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S}Z"
