"""Periodic work, in one process beside the workers: no cron, no timers.

Each job runs in a thread of its own, so that one which fails or hangs keeps no other from its turn.
A failure is logged and the job tried again after its interval. A job that overruns its deadline
cannot be stopped; the process then ceases to beat, and the supervisor replaces it. So a job may be
killed at any point and must leave nothing half done (write beside, rename).

Who runs one by hand (`iems jobs`) and the daemon do not run it at once: a lock in a folder tells.
"""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.log import Log

_LONGEST = 300.0
"""Seconds that one run may take at the most, so that a hanging hourly job is noticed."""

_GRACE = 5.0
"""Seconds past its deadline after which a run counts as hung: libraries round time-outs up."""


@dataclass(frozen=True)
class Job:
    """Something to do every `interval` seconds; `run` must end by its deadline."""

    name: str
    interval: float
    run: Callable[[Deadline], None]


def run_once(job: Job, log: Log) -> bool:
    """Run the job now; whether it went well. What went wrong is logged."""
    try:
        job.run(_deadline(job))
    except Exception as error:  # noqa: BLE001 - a job that fails must have its next turn
        log.failure("job failed", error, job=job.name)
        return False
    return True


@contextlib.contextmanager
def alone(job: Job, folder: Path) -> Iterator[bool]:
    """Whether nobody else runs the job meanwhile; so it is where the folder takes no file."""
    with contextlib.ExitStack() as stack:
        mine = True
        try:
            lock = stack.enter_context((folder / f"{job.name}.lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mine = False
        except OSError:
            mine = True
        yield mine


def run_jobs(jobs: Sequence[Job], control: Control, log: Log, folder: Path) -> None:
    """Run the jobs until the process shall drain, then wait for those under way.

    One that somebody else runs, by a lock in `folder`, is left out this time.
    """
    clock = _Clock()
    control.alive = lambda: not clock.overdue(log)
    threads = [
        threading.Thread(
            target=_repeat, args=(job, control, clock, log, folder), name=job.name, daemon=True
        )
        for job in jobs
    ]
    for thread in threads:
        thread.start()
    control.draining.wait()
    end = Deadline.after(control.limit)
    for thread in threads:
        thread.join(end.remaining())


def _deadline(job: Job) -> Deadline:
    return Deadline.after(min(job.interval, _LONGEST))


class _Clock:
    """By when each job under way must have ended."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._told: set[str] = set()

    def begin(self, job: Job) -> None:
        self._ends[job.name] = _deadline(job).at + _GRACE

    def end(self, job: Job) -> None:
        self._ends.pop(job.name, None)

    def overdue(self, log: Log) -> bool:
        late = [name for name, end in list(self._ends.items()) if time.monotonic() > end]
        for name in late:
            if name not in self._told:
                self._told.add(name)
                log.error("job overdue, the jobs are started anew", job=name)
        return bool(late)


def _repeat(job: Job, control: Control, clock: _Clock, log: Log, folder: Path) -> None:
    while not control.draining.is_set():
        with alone(job, folder) as mine:
            if mine:
                clock.begin(job)
                run_once(job, log)
                clock.end(job)
        control.draining.wait(job.interval)
