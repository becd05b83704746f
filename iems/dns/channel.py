"""One connected UDP socket to one DNS server, and the thread that reads it.

The kernel drops what comes from another address or port. Of the rest, what carries no open id or
another question is dropped here, so that the true answer may still come. Ids are random, the port
is the kernel's choice. Nothing is sent twice here and nothing times out: that is the business of
who asks. An ICMP error tells every open question at once that its answer is lost.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from iems.dns import packet
from iems.dns.servers import Server

OPEN = 16384
"""Questions open at one server. A message may ask 300 of a zone that never answers (SPF, DMARC of
ten domains, 50 sets of ARC), and one client may have 50 connections: with less, his mail and that
of all others would go unchecked. A quarter of the ids, so that one is found at once."""

_BUFFER = 1 << 20
"""Bytes the kernel keeps while the thread waits for the interpreter: some 1,000 answers."""

Deliver = Callable[[bytes | None], None]
"""Takes the response, or None where it is lost; called in the reading thread."""


@dataclass(frozen=True, slots=True)
class _Open:
    section: bytes
    expires: float
    deliver: Deliver


class Channel:
    """Opened at the first question, so after the fork."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._open: dict[int, _Open] = {}
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False

    def send(self, section: bytes, lifetime: float, deliver: Deliver) -> bool:
        """Send the question now; False where it could not be sent."""
        question = _Open(section, time.monotonic() + lifetime, deliver)
        with self._lock:
            if self._closed or (len(self._open) >= OPEN and not self._sweep()):
                return False
            identifier = int.from_bytes(os.urandom(2), "big")
            while identifier in self._open:
                identifier = int.from_bytes(os.urandom(2), "big")
            self._open[identifier] = question
        try:
            self._connected().send(packet.query(identifier, section))
        except ConnectionRefusedError:
            self._lose()  # The error is an earlier question's, but it tells the same of this one.
        except OSError:
            with self._lock:
                self._open.pop(identifier, None)
            return False
        return True

    def close(self) -> None:
        """End the thread; open questions stay without an answer."""
        with self._lock:
            self._closed = True
            opened = self._socket
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _sweep(self) -> bool:
        """Drop what nobody collected in time, the oldest come first; whether there is room now."""
        now = time.monotonic()
        pairs = itertools.takewhile(lambda pair: pair[1].expires <= now, self._open.items())
        for identifier, _question in list(pairs):
            del self._open[identifier]
        return len(self._open) < OPEN

    def _connected(self) -> socket.socket:
        with self._lock:
            if self._socket is None:
                self._socket = _connect(self.server)
                threading.Thread(
                    target=self._read, args=(self._socket,), name="dns", daemon=True
                ).start()
            return self._socket

    def _read(self, connected: socket.socket) -> None:
        with connected:
            while not self._closed:
                try:
                    response = connected.recv(4096)
                except OSError:
                    self._lose()
                else:
                    self._dispatch(response)

    def _dispatch(self, response: bytes) -> None:
        identifier = packet.identifier(response)
        with self._lock:
            question = self._open.get(identifier)
            if question is None or not packet.answers(response, question.section):
                return
            del self._open[identifier]
        question.deliver(response)

    def _lose(self) -> None:
        with self._lock:
            lost, self._open = self._open, {}
        for question in lost.values():
            question.deliver(None)


def _connect(server: Server) -> socket.socket:
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        opened.connect((server.address, server.port))
    except OSError:
        opened.close()
        raise
    return opened
