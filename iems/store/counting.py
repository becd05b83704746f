"""The counters of a site: those of its server, or else of a file of the machine.

Nothing is opened until the first count. Made in each process anew, after the fork.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from iems.settings.shared import SharedSettings
from iems.store.counterfile import CounterFile
from iems.store.counters import Counters
from iems.store.counterserver import CounterServer
from iems.store.shared import client

_AGAIN = 10.0
"""Seconds between two lines of the log about a server: every recipient may be one that fails."""


def connect(
    settings: SharedSettings, state: Path, note: Callable[[str], None] = lambda _why: None
) -> Counters:
    """The counters; `note` is told why nothing can be counted. SettingsError without a password."""
    if settings.shared:
        return connect_server(settings, seldom(note))
    return CounterFile(state / "counters.sqlite", note=note)


def connect_server(
    settings: SharedSettings, note: Callable[[str], None] = lambda _why: None
) -> CounterServer:
    """The server that the settings name; SettingsError without a password."""
    return CounterServer(client(settings), str(settings.server), settings.prefix, note)


def seldom(
    note: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[str], None]:
    """`note`, told at most once in some seconds; of threads that come at once two may tell it."""
    last = -math.inf

    def tell(why: str) -> None:
        nonlocal last
        if clock() - last >= _AGAIN:
            last = clock()
            note(why)

    return tell
