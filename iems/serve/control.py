"""What a worker and its supervisor tell each other over the control pipe.

The worker beats, the supervisor may tell it to drain. A worker whose pipe closes has lost its
supervisor and ends at once: nobody would replace it, and its listening socket would keep the next
supervisor from starting.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

BEAT = b"."
DRAIN_LIMIT = 300.0
"""Seconds for open sessions: as long as Postfix's smtpd_timeout lets a client be silent."""

_ORPHANED = 3
"""Exit status of a process whose supervisor is gone."""


def always() -> bool:
    """The `alive` of a worker whose threads look after themselves."""
    return True


@dataclass
class Control:
    """A worker's view of its supervisor: once `draining` is set, `limit` seconds are left."""

    draining: threading.Event = field(default_factory=threading.Event)
    limit: float = DRAIN_LIMIT
    alive: Callable[[], bool] = always
    """Whether to go on beating; a process that says no is killed and replaced."""

    def drain(self, limit: float) -> None:
        """Take no new work, end what is open within `limit` seconds."""
        self.limit = limit
        self.draining.set()


def attend(control: Control, pipe: socket.socket, interval: float) -> threading.Thread:
    """Start the thread that beats every `interval` seconds and hears what the supervisor says."""
    thread = threading.Thread(
        target=_attend, args=(control, pipe, interval), name="control", daemon=True
    )
    thread.start()
    return thread


def drain_order(limit: float) -> bytes:
    """The order to drain, as the supervisor sends it."""
    return b"drain %d\n" % limit


def _attend(control: Control, pipe: socket.socket, interval: float) -> None:
    heard = b""
    while True:
        if control.alive():
            _beat(pipe)
        if not select.select([pipe], [], [], interval)[0]:
            continue
        try:
            received = pipe.recv(4096)
        except OSError:
            received = b""
        if not received:
            os._exit(_ORPHANED)
        *orders, heard = (heard + received).split(b"\n")
        for order in orders:
            control.drain(float(order.removeprefix(b"drain ")))


def _beat(pipe: socket.socket) -> None:
    # A supervisor that does not read has all the beats it needs, one that is gone shows in recv.
    with contextlib.suppress(OSError):
        pipe.send(BEAT, socket.MSG_DONTWAIT)
