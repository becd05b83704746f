"""`iems bayes status [USER]`: what a user has trained, and how right his filter was.

Without a user a table of all who have trained. How right the filter was is told of the messages of
the last 30 days about which the user said something, by what it had said of each before; of mail
about which he says nothing nobody knows. Exit 1 if the user has trained nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cli import entries
from cli.bayes import desk
from iems.directory.connect import connect
from iems.directory.reader import user_of
from iems.model.address import Address
from iems.settings.bayes import OFF, ON, SHADOW
from iems.settings.judging import judging, wanted
from iems.settings.policy import Mode
from lmtp.bayes import curve
from lmtp.bayes.score import Verdict
from lmtp.bayes.store import DamagedError, Kept

_DAYS = 30


@dataclass(frozen=True, slots=True)
class Status:
    """Of one user; `mode` is on, shadow or off, `judged` what was said of his mail of late."""

    mode: str
    kept: Kept
    journal: int
    judged: Mapping[Verdict, int]
    tally: curve.Tally


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, and how to answer."""
    desk.whose(parser, maybe=True)
    parser.add_argument("--json", action="store_true", help="one JSON object, or array of all")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    return desk.answered(arguments, desk.SHOW, act)


def act(at: desk.Desk, arguments: argparse.Namespace) -> int:
    """The same, with the rights given."""
    tell = _one if at.user else _all
    return tell(at, as_json=arguments.json)


def _one(at: desk.Desk, *, as_json: bool) -> int:
    found = _status(at)
    if as_json:
        print(json.dumps(_document(at.user, found), indent=2))
    else:
        print("\n".join(_lines(at.user, found)))
    return entries.OK if found.kept.number else entries.NEGATIVE


def _status(at: desk.Desk) -> Status:
    mode = _mode(at)
    with at.store() as store:
        kept = store.load(at.user, desk.soon())
        journal = store.journal(at.user, desk.soon())
    with at.memory() as memory:
        judged = memory.tally(at.user, desk.soon())
    since = time.time() - _DAYS * 86400
    return Status(mode, kept, len(journal), judged, curve.tally(journal, since))


def _mode(at: desk.Desk) -> str:
    """What the site and the user say; DirectoryUnavailable."""
    settings = at.settings
    check = judging(settings.checks)
    if check is None:
        return OFF
    mode = check[0]
    admin = settings.admin
    directory = connect(settings.directory, admin.ldap_dn, admin.ldap_password_file, entries.warn)
    address = Address.parse(at.user)
    user = user_of(directory.find([address], desk.soon()).get(at.user))
    has = wanted(mode, (user.bayes if user else "") or settings.bayes.default)
    return SHADOW if mode is Mode.SHADOW and has == ON else has


def _lines(user: str, found: Status) -> Iterator[str]:
    kept, tally = found.kept, found.tally
    yield f"{entries.shown(user)}: the filter is {found.mode}"
    if not kept.number:
        yield "  trained    nothing"
        return
    yield f"  trained    {kept.ham} ham, {kept.spam} spam; last {moment(kept.time)}"
    yield f"  state      {len(kept.state)} bytes, {kept.classifier}"
    yield f"  journal    {found.journal} messages"
    words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.judged.items()))
    yield f"  judged     {words or 'nothing'}, as far as is remembered"
    rate = "" if tally.percent is None else f", {tally.percent:.1f} %"
    yield f"  right      of {tally.said} that he trained in {_DAYS} days: {tally.right}{rate}"


def _document(user: str, found: Status) -> dict[str, object]:
    kept = found.kept
    return {
        "user": user,
        "mode": found.mode,
        **_row(kept),
        "journal": found.journal,
        "judged": {verdict.value: found.judged.get(verdict, 0) for verdict in Verdict},
        "corrections": {
            "days": _DAYS,
            "messages": found.tally.said,
            "right": found.tally.right,
            "accuracy_percent": found.tally.percent,
        },
    }


def _row(kept: Kept) -> dict[str, object]:
    return {
        "ham": kept.ham,
        "spam": kept.spam,
        "last_trained": kept.time or None,
        "classifier": kept.classifier or None,
        "state_bytes": len(kept.state),
    }


def _all(at: desk.Desk, *, as_json: bool) -> int:
    """A row a user; who is damaged has a row that says so."""
    rows: list[dict[str, object]] = []
    lines = [f"{'USER':<40} {'HAM':>7} {'SPAM':>7}  {'LAST':<20} {'BYTES':>7}  CLASSIFIER"]
    total = Counter[str]()
    with at.store() as store:
        for user in store.users(desk.soon()):
            try:
                kept = store.load(user, desk.soon())
            except DamagedError:
                rows.append({"user": user, "damaged": True})
                lines.append(f"{user:<40} damaged; the next training makes it anew")
                continue
            rows.append({"user": user, "damaged": False, **_row(kept)})
            lines.append(
                f"{user:<40} {kept.ham:>7} {kept.spam:>7}  {moment(kept.time):<20} "
                f"{len(kept.state):>7}  {kept.classifier}"
            )
            total.update(ham=kept.ham, spam=kept.spam)
    lines.append(f"{len(rows)} users, {total['ham']} ham, {total['spam']} spam")
    return entries.listed(lines, rows, as_json=as_json)


def moment(seconds: float) -> str:
    """A time for people."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}Z"
