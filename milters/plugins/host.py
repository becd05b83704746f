"""The processes of one plug-in in a worker: each has a message at a time, and one that waits none.

Each is kept by a thread that lives as long as the worker and begins it early: at the start, and
anew as soon as it had to be killed. A process that cannot be begun is tried again after a while, at
first of a second, and what is asked meanwhile is told why.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from iems.serve.deadline import Deadline
from iems.serve.log import Log
from milters.plugins.process import Lines, PluginFailed, Process
from milters.plugins.wire import MAX_REPLY

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_GRACE = 1.0
"""Seconds that the thread has to tell that the time of its process is over."""

_NUMBERS = itertools.count(1)


@dataclass
class Job:
    """One message for a process; `told` gets what becomes of it: a question, rows or an error.

    The `descriptor`, if there is one, is the job's own.
    """

    question: Mapping[str, Any]
    octets: tuple[bytes, ...]
    descriptor: int
    deadline: Deadline
    number: int = field(default_factory=lambda: next(_NUMBERS))
    told: queue.SimpleQueue[Mapping[str, Any] | PluginFailed] = field(
        default_factory=queue.SimpleQueue
    )
    answers: queue.SimpleQueue[Mapping[str, Any]] = field(default_factory=queue.SimpleQueue)

    def said(self) -> Mapping[str, Any]:
        """What the process says next; PluginFailed."""
        try:
            said = self.told.get(timeout=self.deadline.remaining() + _GRACE)
        except queue.Empty:
            raise PluginFailed("had no time for the message") from None
        if isinstance(said, PluginFailed):
            raise said
        return said

    def close(self) -> None:
        """Give the descriptor back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Host:
    """Made without a thread or a process; the first job starts it, if nobody did before.

    Each process gets the `order`, and gives the `answer` that the settings were read with.
    """

    def __init__(
        self,
        name: str,
        order: Mapping[str, Any],
        answer: Mapping[str, Any],
        count: int,
        limit: int = MAX_REPLY,
    ) -> None:
        self.name = name
        self._order = order
        self._answer = answer
        self._lines = Lines()
        self._count = count
        self._limit = limit
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._log: Log | None = None

    def start(self, log: Log | None) -> None:
        """Begin the processes."""
        with self._lock:
            if self._threads:
                return
            self._log = log
            self._threads = [
                threading.Thread(target=self._keep, name=self.name, daemon=True)
                for _number in range(self._count)
            ]
        for one in self._threads:
            one.start()

    def submit(self, job: Job) -> None:
        """Have the next process that is free do it."""
        self.start(self._log)
        self._jobs.put(job)

    def close(self, deadline: Deadline) -> None:
        """End the processes; no job may be under way."""
        for _thread in self._threads:
            self._jobs.put(None)
        for one in self._threads:
            one.join(deadline.remaining())

    def _keep(self) -> None:
        """In a thread: one process after the other, for one job after the other."""
        keeper = _Keeper(self._begin)
        while True:
            keeper.begin()
            job = self._jobs.get()
            if job is None:
                break
            try:
                keeper.serve(job)
            except PluginFailed as error:
                self._failed(str(error))
                job.told.put(error)
            except Exception as error:  # noqa: BLE001 - a defect of ours costs no process for ever
                keeper.end()
                self._failed(repr(error))
                job.told.put(PluginFailed("could not be asked"))
            finally:
                job.close()
        keeper.end()

    def _begin(self) -> Process:
        process = Process(self._echo, self._lines, self._limit)
        try:
            answer = process.order(self._order)
        except PluginFailed as error:
            process.kill()
            self._failed(f"{error}, at its start")
            raise
        if answer != self._answer:
            process.kill()
            why = answer.get("faults", "it is another one than it was, and wants a reload")
            self._failed(f"cannot be made: {why}")
            raise PluginFailed("cannot be made any more")
        return process

    def _failed(self, why: str) -> None:
        if self._log is not None:
            self._log.error("a plug-in failed", name=self.name, why=why)

    def _echo(self, line: str) -> None:
        if self._log is not None:
            self._log.warning("a plug-in says", name=self.name, line=line)


class _Keeper:
    """One process, or why there is none and when it is tried again."""

    def __init__(self, make: Callable[[], Process]) -> None:
        self._make = make
        self._process: Process | None = None
        self._why = ""
        self._pause = 0.0
        self._again = float("-inf")

    def begin(self) -> None:
        """See that there is one, if it is time for it."""
        if self._process is not None or time.monotonic() < self._again:
            return
        try:
            self._process = self._make()
        except (PluginFailed, OSError, RuntimeError) as error:
            self._why = str(error)
            self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
            self._again = time.monotonic() + self._pause
        else:
            self._pause = 0.0

    def serve(self, job: Job) -> None:
        """Do the job; PluginFailed."""
        if self._process is not None and not self._process.silent:
            self.end()  # it ended between two messages
        self.begin()
        if self._process is None:
            raise PluginFailed(f"cannot be started: {self._why}")
        if job.deadline.expired:
            raise PluginFailed("had no time for the message", over=False)
        try:
            job.told.put(_asked(self._process, job))
        except PluginFailed as error:
            if error.over:
                self.end()
            raise

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process = None


def _asked(process: Process, job: Job) -> Mapping[str, Any]:
    """What it says at the end; what it asks meanwhile is answered by who waits for the job."""
    told = {**job.question, "number": job.number, "seconds": job.deadline.remaining()}
    process.ask(told, job.octets, job.descriptor, job.deadline)
    while "found" in (said := process.hear(job.number, job.deadline)):
        job.told.put(said)
        try:
            answer = job.answers.get(timeout=job.deadline.remaining())
        except queue.Empty:
            raise PluginFailed("had nobody to answer its question in time") from None
        process.tell(answer, job.deadline)
    if "error" in said:
        raise PluginFailed(f"raised {said['error']}", over=bool(said.get("over")))
    return said
