"""What a worker and its supervisor tell each other over the control pipe, a datagram each time.

The worker beats with what it has measured, the supervisor may tell it to drain. A worker whose pipe
closes has lost its supervisor and ends at once: nobody would replace it, and its listening socket
would keep the next supervisor from starting.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from iems.serve.meter import Meter, Snapshot

_LARGEST = 1 << 17
"""Bytes of a beat with figures; a socket pair takes 208 KiB, and a hundred lists make 40."""

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
    meter: Meter = field(default_factory=Meter)
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


def beat(pipe: socket.socket, meter: Meter) -> None:
    """Tell the supervisor that this process lives, and what it has measured."""
    said = json.dumps(meter.snapshot().document()).encode()
    # A supervisor that does not read has all the beats it needs, one that is gone shows in recv.
    with contextlib.suppress(OSError):
        pipe.send(said if len(said) <= _LARGEST else b"{}", socket.MSG_DONTWAIT)


def heard(pipe: socket.socket) -> Snapshot | None:
    """What a beat that came says, as the supervisor hears it; None where it says nothing.

    OSError where none came.
    """
    said = pipe.recv(_LARGEST, socket.MSG_DONTWAIT)
    if not said:
        raise ConnectionError("the pipe is closed")
    try:
        return Snapshot.read(json.loads(said))
    except ValueError:
        return None  # of an image before this one


def _attend(control: Control, pipe: socket.socket, interval: float) -> None:
    while True:
        if control.alive():
            beat(pipe, control.meter)
        if not select.select([pipe], [], [], interval)[0]:
            continue
        try:
            order = pipe.recv(4096)
        except OSError:
            order = b""
        if not order:
            os._exit(_ORPHANED)
        control.drain(float(order.removeprefix(b"drain ")))
