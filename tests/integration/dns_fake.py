"""DNS servers on loopback, UDP and TCP, that do what a test says: answer, lie or stay silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import dns.message
import dns.rcode
import dns.rrset

from iems.dns.servers import Server

Reply = Callable[[bytes], list[bytes]]
"""Takes the query, gives the datagrams that come back."""


def answering(*lines: str, rcode: str = "NOERROR", flags: int = 0) -> Reply:
    """Answers every question with these records; `@` stands for the name that is asked for."""

    def reply(query: bytes) -> list[bytes]:
        asked = dns.message.from_wire(query)
        message = dns.message.make_response(asked)
        message.set_rcode(dns.rcode.from_text(rcode))
        message.flags |= flags
        for line in lines:
            owner, ttl, kind, data = line.split(maxsplit=3)
            owner = str(asked.question[0].name) if owner == "@" else owner
            message.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
        return [message.to_wire(max_size=65535)]

    return reply


def silent(query: bytes) -> list[bytes]:  # noqa: ARG001 - the signature of every reply
    """Says nothing."""
    return []


class FakeDns:
    """One server on a port of its own; `seen` holds the queries in order.

    With `source`, an address, its datagrams come from there and from another port.
    """

    def __init__(self, reply: Reply, tcp: Reply = silent, port: int = 0, source: str = "") -> None:
        self.reply = reply
        self.tcp = tcp
        self.seen: list[bytes] = []
        self._udp, self._listener = _both(port)
        self.port = self._udp.getsockname()[1]
        self._answers = self._udp
        if source:
            self._answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._answers.bind((source, 0))
        self._threads = [
            threading.Thread(target=self._datagrams),
            threading.Thread(target=self._connections),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def server(self) -> Server:
        """Where it listens."""
        return Server("127.0.0.1", self.port)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        self._udp.close()
        self._answers.close()
        self._listener.close()

    def _datagrams(self) -> None:
        while True:
            query, client = self._udp.recvfrom(4096)
            if not query:
                return
            self.seen.append(query)
            for datagram in self.reply(query):
                self._answers.sendto(datagram, client)

    def _connections(self) -> None:
        while True:
            try:
                connection, _client = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                query = stream.read(int.from_bytes(stream.read(2), "big"))
                for message in self.tcp(query):
                    connection.sendall(len(message).to_bytes(2, "big") + message)


def _both(port: int) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP on one port; the kernel's choice for the one may be taken for the other."""
    for _attempt in range(100):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        connections = socket.socket()
        connections.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            datagrams.bind(("127.0.0.1", port))
            connections.bind(datagrams.getsockname())
            connections.listen()
        except OSError:
            datagrams.close()
            connections.close()
        else:
            return datagrams, connections
    raise AssertionError("no port that is free for UDP and TCP")


@contextlib.contextmanager
def fake(reply: Reply, tcp: Reply = silent, port: int = 0, source: str = "") -> Iterator[FakeDns]:
    """A server for the length of a test, on any port or on this one."""
    server = FakeDns(reply, tcp, port, source)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def nobody() -> Iterator[Server]:
    """A port where nobody listens and nobody else will."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as keeper:
        keeper.bind(("127.0.0.1", 0))
        yield Server("127.0.0.1", keeper.getsockname()[1])
