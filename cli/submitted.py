"""Messages of a queue by who submitted them, for whatever sender he wrote.

Who has logged in stands in the queue file (`sasl_username`) and is read by postcat(1). Mail comes
and goes meanwhile: what is gone is not found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from cli.postfix import run
from cli.queued import LIMIT, Instance, messages

_HOLD = "hold"
_WAITING = frozenset({"incoming", "active", "deferred"})
_AT_ONCE = 50
"""Messages of one call of postcat, which ends at the first one that is gone."""

_MESSAGE = re.compile(r"\*\*\* ENVELOPE RECORDS \S*?([0-9A-Za-z]+) \*\*\*")
_LOGIN = re.compile(r"named_attribute: sasl_username=(.*)")


def submitted(instance: Instance, users: Collection[str], *, held: bool) -> list[str]:
    """The queue ids of what these users have on hold, or else have waiting; PostfixError."""
    wanted = {user.casefold() for user in users}
    queues = {_HOLD} if held else _WAITING
    ids = [one.queue_id for one in messages(instance) if one.queue in queues]
    return [
        one
        for at in range(0, len(ids), _AT_ONCE)
        for one, login in logins(instance, ids[at : at + _AT_ONCE])
        if login.casefold() in wanted
    ]


def logins(instance: Instance, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Queue id and login of those of these messages that have one and are still there."""
    done = run("postcat", "-c", str(instance.folder), "-e", "-q", *ids, timeout=LIMIT)
    if done.returncode and len(ids) > 1:
        for one in ids:
            yield from logins(instance, [one])
        return
    queue_id = ""
    # A sender may be written with what other readers take for the end of a line.
    for line in done.stdout.split("\n"):
        if message := _MESSAGE.fullmatch(line):
            queue_id = message[1]
        elif login := _LOGIN.fullmatch(line):
            yield queue_id, login[1]
