"""A child of the supervisor, from the fork to its end.

It forgets what is its parent's (other pipes, signal handlers), and runs one function under a
control pipe. Signals mean nothing to it: they are for the supervisor. Every way out is `os._exit`:
nothing that the supervisor would do at its own end may happen in a child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

from iems.serve.control import Control, attend, beat
from iems.serve.log import Log

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGCHLD)
"""What the supervisor handles, and what its children ignore."""

FAILED = 1
"""Exit status of a child that an exception ended."""


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """No signal is delivered meanwhile: between a fork and the child's own handlers, for one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def fork(
    body: Callable[[], int], close: Iterable[socket.socket], open_log: Callable[[], Log]
) -> int:
    """Run `body` in a child, its result the exit status; give the child's process id.

    `close` are the parent's sockets that the child must not hold: a pipe that another child holds
    open never shows its end.
    """
    with signals_held():
        pid = os.fork()
        if pid:
            return pid
        status = FAILED
        try:
            for one in close:
                one.close()
            _ignore_signals()
            status = body()
        except Exception as error:  # noqa: BLE001 - the log is the only place to tell it
            open_log().failure("a process failed", error)
        finally:
            os._exit(status)


def run(
    work: Callable[[Control, Log], None], pipe: socket.socket, interval: float, log: Log
) -> None:
    """Do `work`, and meanwhile beat on `pipe` every `interval` seconds."""
    threading.excepthook = lambda caught: log.failure(
        "a thread failed", caught.exc_value or RuntimeError(str(caught.exc_type))
    )
    control = Control()
    log.on_error = control.meter.error
    attend(control, pipe, interval)
    work(control, log)
    beat(pipe, control.meter)


def _ignore_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
