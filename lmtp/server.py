"""The listening side: a thread per connection, a bound on their number, and an orderly end.

Threads and blocking calls, because the directory, the records and the upstream are so as well. A
connection above the bound waits in the backlog of the socket, where another worker may take it. So
does, for a moment, one that comes to a worker with many: who has fewer takes it.
At the end (`Control.draining`) no connection is accepted any more, what is under way is finished,
and a connection on which nothing is under way is told 421: Postfix then connects again and loses
nothing, for the listening socket stays open with the supervisor. After `Control.limit` seconds the
worker gives up on what is left; its clients see a closed connection and try again.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from lmtp.session import Session
from lmtp.wire import Wire

CONNECTIONS = 64
"""Per worker: with 2 workers more than Postfix's `default_process_limit` of 100 ever opens."""

_TICK = 0.1
"""Seconds until a draining worker notices; far below the 10 s by which mail may be delayed."""

_GIVE_WAY, _LONGEST = 0.0005, 0.005
"""Seconds by which a worker lets others come before it, for each session that it has, and at most.

Sessions stay for many messages, and the threads of a worker compute one at a time: of two workers
the one that was first had up to seven times the work of the other.
"""


@dataclass(eq=False)
class _Open:
    """One connection and its session."""

    connection: socket.socket
    session: Session


class Server:
    """Accepts from one listener; `make` builds the session of a connection."""

    def __init__(
        self,
        make: Callable[[Wire], Session],
        log: Log,
        meter: Meter,
        connections: int = CONNECTIONS,
    ) -> None:
        self._make = make
        self._log = log
        self._meter = meter
        self._slots = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._open: set[_Open] = set()

    def serve(self, listener: socket.socket, control: Control) -> None:
        """Accept until the worker drains, then see all sessions to their end.

        `listener` does not block: another worker may be faster.
        """
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while not control.draining.is_set():
            if not self._slots.acquire(timeout=_TICK):
                continue
            ready = bool(poll.poll(_TICK * 1000)) and not control.draining.is_set()
            if ready and self._open:
                control.draining.wait(min(len(self._open) * _GIVE_WAY, _LONGEST))
            connection = self._accept(listener) if ready else None
            if connection is None:
                self._slots.release()
            else:
                self._start(connection)
        self._drain(Deadline.after(control.limit))

    def _accept(self, listener: socket.socket) -> socket.socket | None:
        try:
            connection, _peer = listener.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            self._log.error("cannot accept", error=error)
            time.sleep(_TICK)
            return None
        connection.setblocking(True)
        return connection

    def _start(self, connection: socket.socket) -> None:
        self._meter.count("connections_total")
        one = _Open(connection, self._make(Wire(connection)))
        with self._lock:
            self._open.add(one)
        threading.Thread(target=self._run, args=(one,), name="session", daemon=True).start()

    def _run(self, one: _Open) -> None:
        try:
            one.session.run()
        finally:
            one.connection.close()
            with self._lock:
                self._open.discard(one)
            self._slots.release()

    def _drain(self, deadline: Deadline) -> None:
        while not deadline.expired:
            with self._lock:
                sessions = tuple(self._open)
            if not sessions:
                return
            for one in sessions:
                self._see_off(one)
            time.sleep(_TICK)
        self._log.warning("gave up on sessions at the end of the drain", sessions=len(self._open))

    def _see_off(self, one: _Open) -> None:
        """Tell the session to leave; where nothing is under way it does so at once."""
        if one.session.leave():
            # A read that waits returns nothing; what was received before it is still read.
            with contextlib.suppress(OSError):
                one.connection.shutdown(socket.SHUT_RD)
