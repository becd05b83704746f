"""Queued messages for people and for programs: one by one, or as many as are alike in one line.

Addresses and reasons are what strangers wrote: nothing of them reaches a terminal as a command.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cli.entries import shown
from cli.queued import Message
from iems.codec.printable import printable

FIELDS = ("instance", "queue", "channel", "domain", "age", "reason")
"""In what messages may be alike."""

_AGES = ((3600, "<1h"), (4 * 3600, "<4h"), (86400, "<1d"), (3 * 86400, "<3d"))
_OLDER = ">3d"

_REASON = 160
"""Characters of a reason: where servers give different ones, they do so before."""

_OWN = re.compile(r"<[^>]*>|\b(?=\w*[0-9])(?=\w*[A-Za-z])\w{10,}\b(?![.-])")
"""What differs from message to message in one and the same reason: addresses, queue ids."""


class Groups:
    """How many messages are alike by some of `FIELDS`, and when the oldest of them came."""

    def __init__(self, by: Iterable[str], now: float | None = None) -> None:
        self._by = [name for name in FIELDS if name in by]
        self._now = time.time() if now is None else now
        self._found: dict[tuple[str, ...], tuple[int, float]] = {}
        self._sums: dict[str, tuple[int, int]] = {}

    def add(self, message: Message) -> None:
        """It counts once in each group that one of its recipients belongs to."""
        count, size = self._sums.get(message.instance, (0, 0))
        self._sums[message.instance] = count + 1, size + message.size
        for key in self._keys(message):
            count, oldest = self._found.get(key, (0, message.arrived))
            self._found[key] = count + 1, min(oldest, message.arrived)

    def lines(self, instances: Iterable[str]) -> Iterator[str]:
        """A table, the largest group first, and the sum of each instance."""
        rows = [
            [str(count), _for(self._now - oldest), *key] for key, count, oldest in self._sorted()
        ]
        if rows:
            rows.insert(0, ["messages", "oldest", *self._by])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for one in rows:
            words = (word.ljust(width) for word, width in zip(one, widths, strict=True))
            yield shown("  ".join(words).rstrip())
        for name in instances:
            count, size = self._sums.get(name, (0, 0))
            yield f"{name}: {count} messages, {size} bytes"

    def rows(self, instances: Iterable[str]) -> Mapping[str, object]:
        """The same for programs; times in seconds of the epoch."""
        sums = {name: self._sums.get(name, (0, 0)) for name in instances}
        return {
            "instances": {
                name: {"messages": count, "bytes": size} for name, (count, size) in sums.items()
            },
            "groups": [
                {"messages": count, "oldest": oldest, **dict(zip(self._by, key, strict=True))}
                for key, count, oldest in self._sorted()
            ],
        }

    def _keys(self, message: Message) -> set[tuple[str, ...]]:
        return {
            tuple(
                {
                    "instance": message.instance,
                    "queue": message.queue,
                    "channel": message.channel,
                    "domain": one.domain,
                    "age": _age(self._now - message.arrived),
                    "reason": _alike(one.reason),
                }[name]
                for name in self._by
            )
            for one in message.recipients
        }

    def _sorted(self) -> Sequence[tuple[tuple[str, ...], int, float]]:
        found = [(key, count, oldest) for key, (count, oldest) in self._found.items()]
        return sorted(found, key=lambda one: (-one[1], one[0]))


def each(message: Message, now: float | None = None) -> str:
    """One message on a line."""
    first, *others = message.recipients
    more = f" and {len(others)} more" if others else ""
    aged = _for((time.time() if now is None else now) - message.arrived)
    return shown(
        f"{message.queue_id} {message.instance}/{message.queue} {message.channel} {aged} "
        f"{message.size} bytes <{message.sender}> to <{first.address}>{more}: "
        f"{printable(first.reason) or 'not tried yet'}"
    )


def row(message: Message) -> Mapping[str, object]:
    """One message for programs."""
    return dataclasses.asdict(message)


@functools.lru_cache(maxsize=1024)
def _alike(reason: str) -> str:
    return printable(_OWN.sub("*", reason), _REASON)


def _age(seconds: float) -> str:
    return next((name for bound, name in _AGES if seconds < bound), _OLDER)


def _for(seconds: float) -> str:
    """A time in the largest unit of which there is one."""
    units = ((86400, "d"), (3600, "h"), (60, "m"))
    found = next(((size, unit) for size, unit in units if seconds >= size), (1, "s"))
    return f"{max(int(seconds // found[0]), 0)}{found[1]}"
