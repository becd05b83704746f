"""A hop between the agent and Dovecot that can hold back one reply, so that a moment is exact.

Bytes pass unchanged in both directions. While a word is held, the first reply line that has it is
kept: the server has said it, the agent does not know it.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from pathlib import Path
from types import TracebackType

_PATIENCE = 100.0
"""Seconds that a reply is kept at most, so that no thread outlives its test."""


class Hop:
    """The relay from the socket `path` to the socket `target`."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._server = _Server(str(path), _Session)
        self._server.target = target
        self._server.held = _Held(b"")
        path.chmod(0o666)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Hop:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.path.unlink()

    def hold(self, word: bytes) -> None:
        """Keep the next reply line that has this word."""
        self._server.held = _Held(word)

    def wait(self, deadline: float = 60) -> int:
        """Until the reply is here; the process id of the client that waits for it."""
        held = self._server.held
        assert held.came.wait(deadline), f"nobody said {held.word!r}"
        return held.client

    def let_go(self) -> None:
        """Pass on what is kept, if its receiver still is, and keep nothing more."""
        before, self._server.held = self._server.held, _Held(b"")
        before.over.set()


class _Held:
    """One reply that is to be held; an empty word holds none."""

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.client = 0
        self.came, self.over = threading.Event(), threading.Event()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    target: Path
    held: _Held


class _Session(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as beyond:
            beyond.connect(str(self.server.target))
            there = threading.Thread(target=_copy, args=(self.request, beyond), daemon=True)
            there.start()
            with beyond.makefile("rb") as replies:
                try:
                    for line in replies:
                        self._keep(line)
                        self.request.sendall(line)
                except OSError:
                    pass  # the agent is no more, and what Dovecot said is lost: that is the point
            _end(self.request)
            there.join()

    def _keep(self, line: bytes) -> None:
        held = self.server.held
        if held.word and held.word in line and not held.came.is_set():
            credentials = self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            held.client = struct.unpack("3i", credentials)[0]
            held.came.set()
            held.over.wait(_PATIENCE)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass  # one of the two is gone, and so is the other one for its peer
    _end(target)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
