"""Records and messages in quarantine go when they are old: jobs of the jobs process.

Each run does a bounded part, the oldest first of records, and the next one goes on. With 0 days
nothing is ever deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from iems.serve.deadline import Deadline
from iems.serve.jobs import Job
from iems.serve.log import Log
from iems.store import records
from iems.store.quarantine import Quarantine

_DAY = 86400.0
_RECORDS = 600.0
"""Seconds between two looks for old records; a run deletes up to a million in its time."""

_QUARANTINE = 3600.0
_ROUND = 240.0
"""Seconds of one run, well below those after which it would count as hung."""


def of_records(path: Path, days: int, log: Log, clock: Callable[[], float] = time.time) -> Job:
    """The job for the records of one daemon."""

    def run(deadline: Deadline) -> None:
        if not days:
            return
        before = clock() - days * _DAY
        if count := records.expire(path, before, deadline.sooner(_ROUND)):
            log.info("old records deleted", records=count, days=days)

    return Job("records", _RECORDS, run)


def of_quarantine(
    quarantine: Quarantine, days: int, log: Log, clock: Callable[[], float] = time.time
) -> Job:
    """The job for quarantine, which also removes what a killed worker left half written."""

    def run(_deadline: Deadline) -> None:
        if files := quarantine.sweep(clock()):
            log.info("half-written files removed from quarantine", files=files)
        if days and (messages := quarantine.expire(clock() - days * _DAY)):
            log.info("old messages removed from quarantine", messages=messages, days=days)

    return Job("quarantine", _QUARANTINE, run)
