"""The way round for answers that do not fit into a datagram: TCP, by dnspython (RFC 7766).

Rare (a PTR with many names, a long TXT), so it may be slow: a few threads, and a bounded number of
questions waiting for them. What cannot be asked or read is `SERVFAIL`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.message
import dns.query

from iems.dns import packet
from iems.dns.resolver import Answer, Rtype, Status
from iems.dns.servers import Server

_THREADS = 2
_WAITING = 32


class TcpFallback:
    """Threads start with the first question."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._room = threading.BoundedSemaphore(_WAITING)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dns-tcp")

    def ask(
        self, server: Server, name: str, rtype: Rtype, deliver: Callable[[Answer], None]
    ) -> None:
        """Ask in a thread of its own and hand over the answer there; returns at once."""
        if not self._room.acquire(blocking=False):
            deliver(Answer(Status.SERVFAIL))
            return

        def work() -> None:
            try:
                deliver(self._ask(server, name, rtype))
            finally:
                self._room.release()

        try:
            self._pool.submit(work)
        except RuntimeError:
            self._room.release()
            deliver(Answer(Status.SERVFAIL))

    def close(self) -> None:
        """Start nothing any more; what runs ends by its time-out."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, server: Server, name: str, rtype: Rtype) -> Answer:
        try:
            response = dns.query.tcp(
                dns.message.make_query(name, rtype),
                server.address,
                timeout=self._timeout,
                port=server.port,
            )
            wire = response.to_wire(max_size=65535)
            section = packet.question(name, rtype)
            return packet.read(wire, section, rtype)
        except (OSError, EOFError, dns.exception.DNSException, ValueError):
            return Answer(Status.SERVFAIL)
