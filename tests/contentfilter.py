"""A content filter that the test controls, on a port of 127.0.0.1, one thread a connection.

What it does with a connection is a function; `scoring` is an spamd that gives each message the
score that the message itself names, and `scanning` a clamd that finds in it what it names.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from types import TracebackType

_SCORE = re.compile(rb"^X-Score: (-?[\d.]+) ?([A-Z_,]*)\r?$", re.MULTILINE)
_LENGTH = re.compile(rb"Content-length: (\d+)", re.IGNORECASE)

_VIRUS = re.compile(rb"^X-Virus: ([!-~]+)\r?$", re.MULTILINE)

Serve = Callable[[socket.socket, threading.Event], None]
"""Serves one connection; the event is set when the test is over."""


class ContentFilter:
    """Listens within the `with` block, on any port or this one; `asked` counts the connections."""

    def __init__(self, serve: Serve, port: int = 0) -> None:
        self._serve = serve
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._listener.getsockname()[1]
        self.asked = 0

    @property
    def address(self) -> str:
        """As the settings name it."""
        return f"inet:127.0.0.1:{self.port}"

    def __enter__(self) -> ContentFilter:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                link, _peer = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            thread = threading.Thread(target=self._connection, args=(link,))
            self._threads.append(thread)
            thread.start()

    def _connection(self, link: socket.socket) -> None:
        link.settimeout(10)
        with link, contextlib.suppress(OSError):
            self._serve(link, self._over)


def request(link: socket.socket) -> bytes:
    """All that the client sends before it waits: a head, and as many bytes as that says."""
    data = b""
    while True:
        head, gap, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if gap and len(body) >= (int(length[1]) if length else 0):
            return data
        piece = link.recv(65536)
        if not piece:
            raise OSError("the client went away")
        data += piece


def answering(answer: bytes) -> Serve:
    """The same answer to everybody."""

    def serve(link: socket.socket, _over: threading.Event) -> None:
        request(link)
        link.sendall(answer)

    return serve


def symbols(score: str, rules: str = "") -> bytes:
    """What spamd answers."""
    head = f"SPAMD/1.1 0 EX_OK\r\nContent-length: {len(rules)}\r\nSpam: False ; {score} / 5.0\r\n"
    return f"{head}\r\n{rules}".encode()


def scoring(link: socket.socket, _over: threading.Event) -> None:
    """A message that names no score gets no answer."""
    told = request(link)
    found = _SCORE.search(told)
    if told.startswith(b"PING "):
        link.sendall(b"SPAMD/1.5 0 PONG\r\n")
    elif found:
        link.sendall(symbols(found[1].decode(), found[2].decode()))


def stream(link: socket.socket) -> bytes:
    """What a client of clamd sends: a command, and the bytes behind INSTREAM."""
    with link.makefile("rb") as sent:
        command = b""
        while not command.endswith(b"\0"):
            command += sent.read(1) or b"\0"
        if command != b"zINSTREAM\0":
            return command
        data = b""
        while size := int.from_bytes(sent.read(4), "big"):
            data += sent.read(size)
        return data


def scanning(link: socket.socket, _over: threading.Event) -> None:
    """What names no virus is clean, and `X-Virus: silence` gets no answer."""
    told = stream(link)
    found = _VIRUS.search(told)
    if told == b"zVERSION\0":
        link.sendall(b"ClamAV 1.0.0\0")
    elif not found:
        link.sendall(b"stream: OK\0")
    elif found[1] != b"silence":
        link.sendall(b"stream: %s FOUND\0" % found[1])


def filtering(link: socket.socket, over: threading.Event) -> None:
    """Either of the two, by what the client speaks."""
    serve = scanning if link.recv(1, socket.MSG_PEEK) == b"z" else scoring
    serve(link, over)
