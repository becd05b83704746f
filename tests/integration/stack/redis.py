"""A private redis-server under its own user, on a unix socket and a port of 127.0.0.1.

It keeps nothing over a restart unless it is told to. Valkey speaks the same protocol; Debian 12 has
no package of it.
"""

from __future__ import annotations

import socket

from tests.integration.stack.ground import Ground, owned
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program
from tests.waiting import eventually

USER = "redis"


class Redis:
    """One server; `settings` are lines of its configuration."""

    def __init__(self, ground: Ground, settings: str = "") -> None:
        self._ground = ground
        self.folder = owned(ground.place("redis"), USER, USER, 0o755)
        self.port = ground.port()
        self.path = self.folder / "socket"
        self.address = f"unix:{self.path}"
        self.inet = f"inet:127.0.0.1:{self.port}"
        self._file = self.folder / "redis.conf"
        self._file.write_text(
            f"""
bind 127.0.0.1
port {self.port}
unixsocket {self.path}
unixsocketperm 777
dir {self.folder}
save ""
{settings}
"""
        )
        self.server = Server(
            "redis", [program("redis-server"), self._file], self.folder / "output", user=USER
        )

    def start(self) -> None:
        """Start it and wait until it answers, be it with an error."""
        self._ground.started(self.server)
        eventually(self._answers, 20, lambda: f"redis is silent\n{self.server.tail()}")

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()
        self.server.gone()

    def ask(self, *words: str) -> str:
        """What it answers to one command, as it is on the wire, up to 64 KiB."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(10)
            link.connect(str(self.path))
            link.sendall((" ".join(words) + "\r\n").encode())
            return link.recv(1 << 16).decode(errors="replace")

    def _answers(self) -> bool:
        self.server.wants_running()
        try:
            return not self.ask("PING").startswith("-LOADING")
        except OSError:
            return False
