"""What the filter keeps goes when it is old: journals, what is remembered, what was set aside."""

from __future__ import annotations

import time
from collections.abc import Callable

from iems.serve.deadline import Deadline
from iems.serve.jobs import Job
from iems.serve.log import Log
from iems.settings.bayes import BayesSettings
from lmtp.bayes.memory import Memory
from lmtp.bayes.store import Store
from lmtp.learning.queue import Queue

_INTERVAL = 600.0
_ROUND = 60.0
"""Seconds for each of them in one run; the next one goes on."""

_DAY = 86400.0
_ASIDE = 30
"""Days for which requests are kept that were set aside, for they hold messages."""


def of_filter(
    settings: BayesSettings,
    store: Store,
    memory: Memory,
    log: Log,
    clock: Callable[[], float] = time.time,
) -> Job:
    """The job."""

    def run(deadline: Deadline) -> None:
        now = clock()
        gone = {
            "entries": store.expire(now, deadline.sooner(_ROUND)),
            "messages": memory.expire(now - settings.memory * _DAY, deadline.sooner(_ROUND)),
            "requests": Queue(settings.queue).expire(now - _ASIDE * _DAY),
        }
        if any(gone.values()):
            log.info("what is old of filters was removed", **gone)

    return Job("filters", _INTERVAL, run)
