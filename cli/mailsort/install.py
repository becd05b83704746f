"""`iems mailsort install USER...|DOMAIN...|--all`: scripts brought to what the rules say.

For who has changed rules past `iems`, for names that lead to users, which stand in their vacation,
and after an upgrade. What is as it should be is not written, so a run can be done again; one that
was stopped goes on with --after. `--site` makes the scripts of the site and of domains.
Users whose rules cannot be installed are told by mail, but not with --as.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from cli import entries
from cli.mailsort import global_scripts
from cli.mailsort.desk import Desk, Result, Tally, explained, remark, unavailable
from cli.mailsort.set import force_option
from cli.mailsort.teller import Teller
from iems.directory.admin import Admin
from iems.directory.store import NoEntryError
from iems.model.address import Address
from iems.model.policy import Kind, Subject
from iems.settings.schema import Settings
from sieve.installing.scripts import ServerError

_FAILURES = 3
"""Users in a row for whom the server does not answer: then it is the server."""

_PROGRESS = 100
"""Users between two lines of progress."""

_AHEAD = 4
"""Users for each connection who are begun before the first of them is told: one may take long."""

_UnderWay: TypeAlias = tuple[Address, "Future[Result]"]
_Tell: TypeAlias = Callable[[Address, Result], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`USER...|DOMAIN...`, `--all`, `--after USER`, `--site`, `--force`, `--json`."""
    entries.as_option(parser)
    parser.add_argument(
        "subjects", nargs="*", type=entries.subject, metavar="USER|DOMAIN", help="of these users"
    )
    parser.add_argument("--all", action="store_true", help="of all users")
    parser.add_argument(
        "--after", type=entries.address, metavar="USER", help="go on behind this user"
    )
    parser.add_argument("--site", action="store_true", help="the site's and the domains' own rules")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each user")
    force_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    if not (arguments.all or arguments.subjects or arguments.site):
        return entries.failed("whose? see `iems mailsort install --help`", entries.USAGE)
    return entries.answered(arguments, act)


def act(arguments: argparse.Namespace, admin: Admin, settings: Settings) -> int:
    """The same, with the directory given."""
    code = entries.OK
    if arguments.site:
        code = global_scripts.install(settings, admin)
    users = sorted(_users(arguments, admin), key=lambda one: one.key)
    if arguments.after:
        users = [one for one in users if one.key > arguments.after.key]
    with contextlib.closing(Teller(admin, settings)) as teller:
        tell = teller.tell if arguments.as_user is None else _nobody
        return max(code, _through(users, Desk(admin, settings), tell, arguments))


def _through(users: list[Address], desk: Desk, tell: _Tell, arguments: argparse.Namespace) -> int:
    with contextlib.closing(_installing(users, desk, force=arguments.force)) as under_way:
        return _told(under_way, len(users), tell, as_json=arguments.json)


def _installing(
    users: list[Address], desk: Desk, *, force: bool
) -> Generator[_UnderWay, None, None]:
    """Install for several at once, each with his connection to the directory; in this order.

    Who stops has those finished that were begun.
    """
    connections = desk.settings.directory.pool
    under_way: deque[_UnderWay] = deque()
    with ThreadPoolExecutor(connections) as pool:
        try:
            for user in users:
                under_way.append((user, pool.submit(desk.install, user, force=force)))
                if len(under_way) == _AHEAD * connections:
                    yield under_way.popleft()
            while under_way:
                yield under_way.popleft()
        finally:
            for _user, one in under_way:
                one.cancel()


def _told(under_way: Iterator[_UnderWay], count: int, tell: _Tell, *, as_json: bool) -> int:
    tally, code, last, failures = Tally(), entries.OK, "", 0
    for number, (user, one) in enumerate(under_way, 1):
        try:
            result = one.result()
        except NoEntryError:
            code = max(code, entries.failed(f"no user {user}"))
            continue
        except ServerError as error:
            # It may be this user's mailbox alone; several in a row are the server.
            entries.warn(f"rules of {user} are not installed")
            code, failures = max(code, unavailable(error)), failures + 1
            if failures == _FAILURES:
                entries.warn(f"stopped; go on with --after {last}" if last else "stopped")
                break
            continue
        last, failures = user.key, 0
        tally.add(result)
        _show(result, as_json=as_json)
        tell(user, result)
        code = code if result.good else max(code, entries.NEGATIVE)
        if count > _PROGRESS and number % _PROGRESS == 0:
            print(f"iems: {number} of {count}: up to {user}", file=sys.stderr)
    if count > 1:
        print(f"iems: {tally}", file=sys.stderr)
    return code


def _nobody(_user: Address, _result: Result) -> None:
    """Who acts as somebody is there, and sees it."""


def _show(result: Result, *, as_json: bool) -> None:
    """For people only what has changed, or is not as it should be."""
    if as_json:
        print(json.dumps(result.row()), flush=True)
        return
    remark(result.remarks)
    if not result.good:
        entries.failed(f"rules of {entries.shown(result.user)}: {explained(result)}")
    elif result.changed:
        entries.changed(result.outcome, f"rules of {entries.shown(result.user)}")


def _users(arguments: argparse.Namespace, admin: Admin) -> Iterator[Address]:
    if arguments.all:
        yield from map(Address.parse, admin.users())
        return
    subjects: list[Subject] = arguments.subjects
    for one in subjects:
        if one.kind is Kind.USER:
            yield Address.parse(one.name)
        else:
            everybody = map(Address.parse, admin.users())
            yield from (user for user in everybody if user.domain == one.name)
