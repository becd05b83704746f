"""One supervisor and its workers: the main of every daemon.

Single-threaded; it holds the listening socket and a pipe to each child, and opens nothing before a
fork. It does no work of its own, so that there is little in it that can fail.

- HUP: the settings are checked in a child; if they are good, workers are forked with them, and once
  these live, the old ones are told to drain. If not, the old ones go on and the log says why.
- USR2: the same with a new image of the program, which takes over socket and children.
- TERM, INT: the socket goes, everybody drains, exit status 0.
- A worker that ends or hangs is replaced, after 1 s at first and up to 60 s when it keeps ending.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iems.serve import handover, worker
from iems.serve.children import JOBS, WORKER, Backoff, Child, Children, Timing
from iems.serve.control import Control
from iems.serve.handover import Handover
from iems.serve.jobs import Job, run_jobs
from iems.serve.listener import Listener, ListenError, adopt, listen
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.serve.notify import notify, passed_socket
from iems.serve.service import Generation, Service
from iems.serve.status import Status, publish
from iems.settings.read import SettingsError

__all__ = ["Control", "Generation", "Job", "Service", "Timing", "serve"]

EX_CONFIG = 78
EX_UNAVAILABLE = 69
"""Exit statuses of sysexits.h."""


def serve(
    service: Service,
    *,
    foreground_log: bool = False,
    pid_file: Path | None = None,
    timing: Timing | None = None,
) -> int:
    """Run the daemon until it is told to end; its exit status."""

    def open_log() -> Log:
        return Log.open(service.name, foreground=foreground_log)

    journal = open_log()
    sys.excepthook = lambda _kind, error, _trace: journal.failure("the supervisor fails", error)
    if handover.only_check():
        return _check(service, journal)
    before = handover.taken_over()
    try:
        first = None if before else service.prepare()
        listener = _listener(first, before)
    except (SettingsError, ListenError) as error:
        journal.error("not started", why=error)
        print(f"{service.name}: {error}", file=sys.stderr)
        wrong = isinstance(error, SettingsError)
        notify(f"ERRNO={errno.EINVAL if wrong else errno.EADDRINUSE}")
        return EX_CONFIG if wrong else EX_UNAVAILABLE
    if pid_file and not before:
        _write_pid(pid_file)
    _Supervisor(service, listener, timing or Timing(), journal, open_log).run(first, before)
    if pid_file:
        pid_file.unlink(missing_ok=True)
    return 0


def _check(service: Service, journal: Log) -> int:
    try:
        service.prepare()
    except SettingsError as error:
        journal.error("the settings are wrong", why=error)
        return EX_CONFIG
    return 0


def _listener(first: Generation | None, before: Handover | None) -> Listener:
    passed = passed_socket()
    if before and passed:
        return adopt(passed, before.path, before.inode)
    if first is None:
        raise ListenError("the image before passed no socket")
    if passed:
        return adopt(passed, first.daemon.socket, None)
    return listen(first.daemon.socket, first.daemon.socket_group)


def _write_pid(path: Path) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(f"{os.getpid()}\n")
    beside.rename(path)


class _Wish(enum.Enum):
    RELOAD = "reload"
    EXEC = "restart"


@dataclass(frozen=True)
class _Check:
    """The child that looks at the settings, and what shall follow."""

    pid: int
    end: float
    wish: _Wish


class _Supervisor:
    def __init__(
        self,
        service: Service,
        listener: Listener,
        timing: Timing,
        log: Log,
        open_log: Callable[[], Log],
    ) -> None:
        self._service = service
        self._listener = listener
        self._timing = timing
        self._log = log
        self._children = Children(timing, log, open_log)
        self._open_log = open_log
        self._backoff = {role: Backoff(timing) for role in (WORKER, JOBS)}
        # Numbers of generations; the settings of one that was adopted are not known.
        self._current: tuple[int, Generation | None] = (0, None)
        self._incoming: tuple[int, Generation] | None = None
        self._settled = 0.0
        self._signals: set[int] = set()
        self._wish: _Wish | None = None
        self._checking: _Check | None = None
        self._retry = 0.0
        self._stopping = False
        self._wake, self._woken = socket.socketpair()
        self._meter = Meter()
        self._restarts = dict.fromkeys((WORKER, JOBS), 0)
        self._started = self._read_at = time.time()
        self._publish_at = 0.0
        log.on_error = self._meter.error

    def run(self, first: Generation | None, before: Handover | None) -> None:
        """Supervise until the end. Without `first` the children of `before` are current."""
        self._current = (before.generation if before else 1, first)
        for child in before.children if before else ():
            self._children.adopt(child)
        if before:
            self._wish = _Wish.RELOAD
        self._handle_signals()
        self._log.info("started", pid=os.getpid(), children=len(self._children))
        self._keep_children()
        notify("READY=1")
        while not self._stopping or len(self._children):
            self._sleep()
            self._obey()
            self._reap()
            self._children.kill_overdue()
            if not self._stopping:
                self._advance()
                self._keep_children()
            if time.monotonic() >= self._publish_at:
                self._look_after()
        self._forget_status()
        self._log.info("ended")

    # What wakes it.

    def _handle_signals(self) -> None:
        for one in (self._wake, self._woken):
            one.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        for number in worker.SIGNALS:
            signal.signal(number, lambda caught, _frame: self._signals.add(caught))
        # An image before this one held them back, lest they end it before this line.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, worker.SIGNALS)

    def _sleep(self) -> None:
        pipes = [child.pipe for child in self._children]
        readable, _, _ = select.select([self._wake, *pipes], [], [], self._timing.tick)
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)
        self._children.hear(readable)

    def _obey(self) -> None:
        caught, self._signals = self._signals, set()
        if self._stopping:
            return
        if caught & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif signal.SIGUSR2 in caught:
            self._wish = _Wish.EXEC
        elif signal.SIGHUP in caught and self._wish is None:
            self._wish = _Wish.RELOAD

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            if self._checking and pid == self._checking.pid:
                self._checked(self._checking, code)
            elif child := self._children.reap(pid):
                self._ended(child, code)

    # What it does.

    def _stop(self) -> None:
        self._stopping = True
        notify("STOPPING=1")
        self._log.info("stopping", children=len(self._children))
        self._listener.remove()
        if self._checking:
            os.kill(self._checking.pid, signal.SIGKILL)
        self._children.drain(self._children, self._timing.stop)

    def _ended(self, child: Child, code: int) -> None:
        """A child is gone: one that was not told to is an error, and a new one comes later."""
        if child.end is not None:
            return
        self._log.error("a process ended", role=child.role, pid=child.pid, status=code)
        self._restarts[child.role] += 1
        if self._incoming and child.generation == self._incoming[0]:
            self._log.error("the new workers do not live, the old ones stay")
            self._children.drain(self._children.of(self._incoming[0]), self._timing.stop)
            self._incoming = None
            notify("READY=1")
        else:
            self._backoff[child.role].ended(child.born)

    def _advance(self) -> None:
        """The next step of a reload, if there is one to be done now."""
        now = time.monotonic()
        if self._checking:
            if now > self._checking.end:
                self._log.error("the check of the settings takes too long")
                os.kill(self._checking.pid, signal.SIGKILL)
        elif self._incoming:
            if now > self._settled:
                self._take_over(*self._incoming)
        elif self._wish:
            self._begin_check(self._wish)
        elif self._current[1] is None and now > self._retry:
            self._begin_check(_Wish.RELOAD)

    def _begin_check(self, wish: _Wish) -> None:
        self._wish = None
        self._retry = time.monotonic() + self._timing.retry
        try:
            pid = worker.fork(self._check_body(wish), self._pipes(), self._open_log)
        except OSError as error:
            self._log.error("cannot check the settings", why=error)
            return
        notify("RELOADING=1")
        self._checking = _Check(pid, time.monotonic() + self._timing.check, wish)

    def _check_body(self, wish: _Wish) -> Callable[[], int]:
        def check() -> int:
            if wish is _Wish.EXEC:
                handover.exec_check()
            return _check(self._service, self._open_log())

        return check

    def _checked(self, check: _Check, code: int) -> None:
        self._checking = None
        if self._stopping:
            return
        if code == 0 and check.wish is _Wish.EXEC:
            self._exec()
        elif code == 0 and self._begin_generation():
            return
        else:
            self._log.error("no reload, the workers stay as they are", status=code)
        notify("READY=1")

    def _exec(self) -> None:
        self._log.info("becoming the next image of the program")
        signal.pthread_sigmask(signal.SIG_BLOCK, worker.SIGNALS)
        try:
            handover.exec_next(self._listener, self._current[0], self._children)
        except OSError as error:
            # Descriptor 3 is the socket by now, whatever it was before: there is no way back.
            self._log.error("cannot become the next image", why=error)
            os._exit(EX_UNAVAILABLE)

    def _begin_generation(self) -> bool:
        try:
            generation = self._service.prepare()
        except SettingsError as error:
            self._log.error("the settings are wrong", why=error)
            return False
        if generation.daemon.socket != self._listener.path:
            self._log.warning("another socket needs a restart", socket=generation.daemon.socket)
        self._incoming = (self._current[0] + 1, generation)
        self._settled = time.monotonic() + self._timing.settle
        for _number in range(generation.daemon.workers):
            self._start(WORKER, *self._incoming)
        return True

    def _take_over(self, number: int, generation: Generation) -> None:
        self._incoming = None
        old, self._current = self._current[0], (number, generation)
        self._read_at = time.time()
        self._publish_at = 0.0
        self._children.drain(self._children.of(old), self._timing.drain)
        self._children.drain(self._children.of(old, JOBS), self._timing.jobs)
        self._log.info("new settings", generation=number, workers=generation.daemon.workers)
        notify("READY=1")

    def _keep_children(self) -> None:
        """As many workers as there shall be, and one process for the jobs."""
        number, generation = self._current
        if generation is None:
            return
        missing = generation.daemon.workers - len(self._children.of(number))
        for _number in range(missing if self._backoff[WORKER].over else 0):
            self._start(WORKER, number, generation)
        if self._backoff[JOBS].over and not any(one.role == JOBS for one in self._children):
            self._start(JOBS, number, generation)

    def _start(self, role: str, number: int, generation: Generation) -> None:
        def work(control: Control, log: Log) -> None:
            if role == JOBS:
                folder = generation.daemon.status.parent
                run_jobs(generation.jobs(control, log), control, log, folder)
            else:
                generation.work(self._listener.socket, control, log)

        try:
            self._children.start(role, number, work, [self._wake, self._woken])
        except OSError as error:
            self._log.error("cannot start a process", role=role, why=error)
            self._backoff[role].ended(time.monotonic())

    def _look_after(self) -> None:
        """Once a beat: who holds too much memory has to go, and all may know how things are."""
        self._publish_at = time.monotonic() + self._timing.beat
        generation = self._current[1]
        if generation is None:
            return
        for child in self._children.end_greedy(generation.daemon.max_memory):
            self._restarts[child.role] += 1
        seen = self._children.seen()
        seen.add(self._meter.snapshot())
        status = Status(
            daemon=self._service.name,
            release=Path(sys.prefix).name,
            pid=os.getpid(),
            started=self._started,
            updated=time.time(),
            generation=self._current[0],
            settings=self._read_at,
            fingerprint=generation.fingerprint,
            processes=self._children.processes(),
            restarts=self._restarts,
            seen=seen,
        )
        # A status that cannot be written gets old, which its readers see.
        with contextlib.suppress(OSError):
            publish(generation.daemon.status, status)

    def _forget_status(self) -> None:
        if self._current[1] is not None:
            with contextlib.suppress(OSError):
                self._current[1].daemon.status.unlink(missing_ok=True)

    def _pipes(self) -> list[socket.socket]:
        return [self._wake, self._woken, *(child.pipe for child in self._children)]
