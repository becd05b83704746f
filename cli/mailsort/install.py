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
from collections.abc import Callable, Iterator

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
from sieve.installing.managesieve import ServerError

_FAILURES = 3
"""Users in a row for whom the server does not answer: then it is the server."""

_PROGRESS = 100
"""Users between two lines of progress."""


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


def _through(
    users: list[Address],
    desk: Desk,
    tell: Callable[[Address, Result], None],
    arguments: argparse.Namespace,
) -> int:
    tally, code, last, failures = Tally(), entries.OK, "", 0
    for number, user in enumerate(users, 1):
        try:
            result = desk.install(user, force=arguments.force)
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
        _tell(result, as_json=arguments.json)
        tell(user, result)
        code = code if result.good else max(code, entries.NEGATIVE)
        if len(users) > _PROGRESS and number % _PROGRESS == 0:
            print(f"iems: {number} of {len(users)}: up to {user}", file=sys.stderr)
    if len(users) > 1:
        print(f"iems: {tally}", file=sys.stderr)
    return code


def _nobody(_user: Address, _result: Result) -> None:
    """Who acts as somebody is there, and sees it."""


def _tell(result: Result, *, as_json: bool) -> None:
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
