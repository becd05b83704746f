"""Which lists are not asked at the moment: those found sick, and those that keep time out.

The health of lists is tested by the `jobs` process, which publishes it in a file; every worker
looks at the file once a second. A worker also counts time-outs of its own: three in a row and the
list rests for half a minute. A file that is missing or damaged says nothing against any list; an
old one stays valid, since a list that lists everybody must not come back because the tests ended.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VERSION = 1
LIMIT = 3
PAUSE = 30.0
_REREAD = 1.0


@dataclass(frozen=True, slots=True)
class ListHealth:
    """One list: why it is set aside by family (`ipv4`, `ipv6`, `names`), absent where it is not.

    `silent` counts the tests in a row without an answer, `since` and `noticed` are times in
    seconds of the epoch: of the last change, and of the last notice to postmaster, 0 for none;
    `owed` says that a notice is still to be sent.
    """

    aside: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, int] = field(default_factory=dict)
    since: float = 0.0
    noticed: float = 0.0
    owed: bool = False


def publish(path: Path, lists: Mapping[str, ListHealth]) -> None:
    """Write the file beside its name and rename it: a reader sees the old or the new one whole."""
    document = {"version": VERSION, "lists": {label: asdict(one) for label, one in lists.items()}}
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    draft.replace(path)


def published(path: Path) -> dict[str, ListHealth]:
    """What the file says; nothing where there is none that can be read."""
    try:
        document = json.loads(path.read_text())
        if document["version"] != VERSION:
            return {}
        return {label: _health(one) for label, one in document["lists"].items()}
    except (OSError, ValueError, ArithmeticError, TypeError, LookupError, AttributeError):
        return {}
    except RecursionError:
        return {}


def _health(row: Mapping[str, Any]) -> ListHealth:
    return ListHealth(
        {str(family): str(why) for family, why in row["aside"].items()},
        {str(family): int(count) for family, count in row["silent"].items()},
        float(row["since"]),
        float(row["noticed"]),
        bool(row["owed"]),
    )


class Guard:
    """One for each worker, shared by its checks and threads."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._stamp: tuple[int, int] | None = None
        self._lists: dict[str, ListHealth] = {}
        self._timeouts: dict[str, int] = {}
        self._rest: dict[str, float] = {}

    def reason(self, label: str, family: str) -> str:
        """Why this list is not to be asked now; empty where it is."""
        now = self._clock()
        with self._lock:
            if now - self._looked >= _REREAD:
                self._looked = now
                self._reread()
            if self._rest.get(label, 0.0) > now:
                return "it timed out repeatedly"
            health = self._lists.get(label)
            return health.aside.get(family, "") if health else ""

    def timed_out(self, label: str) -> None:
        """Count a question without an answer."""
        with self._lock:
            count = self._timeouts.get(label, 0) + 1
            self._timeouts[label] = count
            if count >= LIMIT:
                self._rest[label] = self._clock() + PAUSE

    def answered(self, label: str) -> None:
        """Whatever the answer was, the list is there."""
        if label in self._timeouts:
            with self._lock:
                self._timeouts.pop(label, None)

    def _reread(self) -> None:
        try:
            status = self._path.stat()
        except OSError:
            self._stamp, self._lists = None, {}
            return
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._stamp, self._lists = stamp, published(self._path)
