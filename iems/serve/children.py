"""The processes of a supervisor: started, listened to, drained, killed when they hang, reaped.

Nothing here decides how many there shall be; see `supervisor`. A child that misses three beats, or
is still there after its time to drain, is killed: its clients see a closed connection, which costs
them a delay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from iems.serve import worker
from iems.serve.control import Control, drain_order, heard
from iems.serve.log import Log
from iems.serve.meter import Snapshot
from iems.serve.status import Process, resident

WORKER = "worker"
JOBS = "jobs"


@dataclass(frozen=True)
class Timing:
    """All times of a supervisor, in seconds."""

    beat: float = 5.0
    missed: int = 3
    """With `beat` 15 s until a hung worker is killed: half of Postfix's milter_command_timeout."""
    settle: float = 1.0
    """A new generation that lives as long as this takes over from the old one."""
    backoff: float = 1.0
    longest_backoff: float = 60.0
    check: float = 30.0
    """For reading the settings in the child that checks them."""
    drain: float = 300.0
    """At a reload: as long as Postfix's smtpd_timeout lets a client be silent."""
    stop: float = 20.0
    """At the end: below Postfix's milter_connect_timeout of 30 s, so that a restart under a socket
    of systemd keeps nobody waiting for longer than he does."""
    jobs: float = 10.0
    """For the jobs under way at a reload; they may be killed at any time."""
    grace: float = 2.0
    """Between the end of a drain and the kill."""
    retry: float = 10.0
    """Until a supervisor that adopted its workers tries again to read its settings."""
    tick: float = 0.2
    """The longest sleep of the supervisor; signals and the end of a child wake it at once."""


@dataclass
class Backoff:
    """When a child that ended may be replaced: later each time, unless it lived for long."""

    timing: Timing
    delay: float = 0.0
    not_before: float = 0.0

    def ended(self, born: float) -> None:
        """A child that was started at `born` is gone."""
        now = time.monotonic()
        if now - born > self.timing.longest_backoff:
            self.delay = 0.0
        self.delay = min(max(self.timing.backoff, self.delay * 2), self.timing.longest_backoff)
        self.not_before = now + self.delay

    @property
    def over(self) -> bool:
        """Whether the next one may be started."""
        return time.monotonic() >= self.not_before


@dataclass(eq=False)
class Child:
    """One process: `end` is set once it was told to drain, then it is killed after it."""

    pid: int
    role: str
    generation: int
    pipe: socket.socket
    beat: float = field(default_factory=time.monotonic)
    end: float | None = None
    born: float = field(default_factory=time.monotonic)
    seen: Snapshot = field(default_factory=Snapshot)


class Children:
    """All children that are not yet reaped."""

    def __init__(self, timing: Timing, log: Log, open_log: Callable[[], Log]) -> None:
        self._timing = timing
        self._log = log
        self._open_log = open_log
        self._children: dict[int, Child] = {}
        self._gone = Snapshot()

    def __iter__(self) -> Iterator[Child]:
        return iter(tuple(self._children.values()))

    def __len__(self) -> int:
        return len(self._children)

    def of(self, generation: int, role: str = WORKER) -> list[Child]:
        """The children of this generation that were not told to end."""
        return [
            child
            for child in self._children.values()
            if child.generation == generation and child.role == role and child.end is None
        ]

    def adopt(self, child: Child) -> None:
        """A child of our own process that an earlier image of it started."""
        self._children[child.pid] = child

    def start(
        self,
        role: str,
        generation: int,
        work: Callable[[Control, Log], None],
        close: Iterable[socket.socket],
    ) -> Child:
        """Fork a child that does `work`; OSError when the machine has no room for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [child.pipe for child in self._children.values()]

        def body() -> int:
            worker.run(work, theirs, self._timing.beat, self._open_log())
            return 0

        try:
            pid = worker.fork(body, [ours, *pipes, *close], self._open_log)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        child = Child(pid, role, generation, ours)
        self._children[pid] = child
        return child

    def hear(self, readable: Iterable[socket.socket]) -> None:
        """Take the beats from those pipes that have some."""
        now = time.monotonic()
        ready = set(readable)
        for child in self._children.values():
            if child.pipe in ready:
                with contextlib.suppress(OSError):
                    child.seen = heard(child.pipe) or child.seen
                    child.beat = now

    def drain(self, children: Iterable[Child], limit: float) -> None:
        """Tell each to end within `limit` seconds; one told before keeps the earlier end."""
        end = time.monotonic() + limit
        for child in children:
            if child.end is None or end < child.end:
                child.end = end
                with contextlib.suppress(OSError):  # it is dead and will be reaped
                    child.pipe.send(drain_order(limit), socket.MSG_DONTWAIT)

    def kill_overdue(self) -> None:
        """Kill the hung ones and those whose time to drain is over."""
        now = time.monotonic()
        for child in self._children.values():
            if now > child.beat + self._timing.beat * self._timing.missed:
                self._kill(child, "it hangs")
            elif child.end is not None and now > child.end + self._timing.grace:
                self._kill(child, "its time to drain is over")

    def reap(self, pid: int) -> Child | None:
        """Forget the child of this process id; None if it is none of these."""
        child = self._children.pop(pid, None)
        if child is not None:
            with contextlib.suppress(OSError):
                while True:  # its last beats may still be in the pipe
                    child.seen = heard(child.pipe) or child.seen
            child.pipe.close()
            child.seen.levels.clear()
            self._gone.add(child.seen)
        return child

    def seen(self) -> Snapshot:
        """What all of them have measured, those that are gone included."""
        total = Snapshot()
        for one in (self._gone, *(child.seen for child in self._children.values())):
            total.add(one)
        return total

    def processes(self) -> list[Process]:
        """How they are, for the status."""
        epoch = time.time() - time.monotonic()
        return [
            Process(
                pid=child.pid,
                role=child.role,
                generation=child.generation,
                born=epoch + child.born,
                memory=resident(child.pid),
                draining=child.end is not None,
            )
            for child in self._children.values()
        ]

    def end_greedy(self, limit: int) -> list[Child]:
        """Drain those that hold more than `limit` bytes of memory; which ones.

        One that drains, for whatever reason, is killed when it holds twice as much.
        """
        greedy = []
        for child in self._children.values():
            held = resident(child.pid)
            if child.end is None and held > limit:
                greedy.append(child)
            elif child.end is not None and held > 2 * limit:
                self._kill(child, "it drains and holds twice the memory that it may")
        for child in greedy:
            self._log.error(
                "a process holds too much memory", role=child.role, pid=child.pid, limit=limit
            )
        self.drain(greedy, self._timing.drain)
        return greedy

    def _kill(self, child: Child, why: str) -> None:
        self._log.error("killing a process", role=child.role, pid=child.pid, why=why)
        child.beat = time.monotonic()  # not again in the next round
        os.kill(child.pid, signal.SIGKILL)
