"""The pool of connections to one next hop, for all threads of a worker.

A connection from the pool that turns out to be dead is replaced once by a new one, but only while
no part of the message has been sent: after that nobody knows what the server has. A server that
cannot be reached costs 451 for each recipient.
"""

from __future__ import annotations

import contextlib
import threading

from iems.serve.deadline import Deadline
from lmtp.client import Client, Delivered, Parcel, StaleError
from lmtp.dialogue import BrokenError

_IDLE = 32
"""Idle connections that are kept: half of the sessions that a worker serves at once."""


class Upstream:
    """One LMTP server; `target` is `unix:PATH` or `inet:HOST:PORT`."""

    def __init__(self, target: str, hostname: str) -> None:
        self._target = target
        self._hostname = hostname
        self._lock = threading.Lock()
        self._idle: list[Client] = []

    def deliver(self, parcel: Parcel, deadline: Deadline) -> Delivered:
        """One reply for each recipient of the parcel, in their order."""
        try:
            return self._deliver(parcel, deadline)
        except BrokenError as error:
            return Delivered([error.answer] * len(parcel.recipients))

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()

    def _deliver(self, parcel: Parcel, deadline: Deadline) -> Delivered:
        pooled = self._pooled()
        if pooled is not None:
            with contextlib.suppress(StaleError):
                return self._through(pooled, parcel, deadline)
        client = Client.connect(self._target, self._hostname, deadline)
        return self._through(client, parcel, deadline)

    def _through(self, client: Client, parcel: Parcel, deadline: Deadline) -> Delivered:
        done = False
        try:
            delivered = client.deliver(parcel, deadline)
            done = client.usable
        finally:
            if done:
                self._put_back(client)
            else:
                client.close()
        return delivered

    def _pooled(self) -> Client | None:
        """The connection that was used last and still lives."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                client = self._idle.pop()
            if client.alive:
                return client
            client.close()

    def _put_back(self, client: Client) -> None:
        with self._lock:
            kept = len(self._idle) < _IDLE
            if kept:
                self._idle.append(client)
        if not kept:
            client.close()


def greeted(target: str, hostname: str, deadline: Deadline) -> str:
    """Why the server does not greet us now; empty where it does."""
    try:
        Client.connect(target, hostname, deadline).close()
    except BrokenError as error:
        return str(error.answer)
    return ""
