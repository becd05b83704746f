"""The echo daemon as tests use it: started, asked, loaded, watched."""

from __future__ import annotations

import functools
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.stack.ground import MILTER_USER, Ground, accepts_unix, owned
from tests.integration.stack.process import Server
from tests.waiting import eventually

_TIMES = {"beat": 0.5, "missed": 20, "settle": 0.3, "backoff": 0.2, "tick": 0.05, "grace": 0.5}
"""Short enough for tests; who is silent for 10 s hangs, and is not only kept waiting by others."""

HUNG_SOON = {"missed": 3}
"""For a test of what hangs: three beats are 1.5 s."""


class Daemon:
    """One supervisor of the echo daemon, its settings and its clients."""

    def __init__(
        self,
        ground: Ground,
        *,
        times: Mapping[str, float] | None = None,
        **settings: object,
    ) -> None:
        self.folder = owned(ground.place("echo"), MILTER_USER, MILTER_USER, 0o755)
        self.socket = self.folder / "echo.sock"
        self.pid_file = self.folder / "echo.pid"
        self.settings = self.folder / "settings"
        self._ground = ground
        self.times = {**_TIMES, **(times or {})}
        self.asked = 0
        """How many lines `ask` has sent."""
        self.write(**settings)
        self.server = Program(self)

    def write(self, **settings: object) -> None:
        """Other settings."""
        values = {"path": str(self.socket), "word": "one", **settings}
        self.settings.write_text(json.dumps(values))
        self.settings.with_suffix(".times").write_text(json.dumps(self.times))

    def start(self) -> None:
        """Start it and wait until it accepts."""
        self._ground.started(self.server)
        eventually(lambda: accepts_unix(self.socket), 15, self.server.tail)
        self.complete()

    def complete(self) -> None:
        """Wait until there are two workers and a process for the jobs."""
        eventually(lambda: len(self.children()) == 3, 15, self.server.tail)

    def stop(self) -> None:
        """Stop it; nothing may be left."""
        self.server.stop()
        self.server.gone()

    def connect(self) -> Session:
        """A client."""
        return Session(self.socket)

    def ask(self, line: str = "x") -> list[str]:
        """One line on a connection of its own: word, process id, line."""
        with self.connect() as session:
            self.asked += 1
            return session.ask(line)

    def log(self, text: str = "") -> list[str]:
        """The lines of the log that hold `text`."""
        return [line for line in self.server.tail(10_000).splitlines() if text in line]

    def worker_answers(self, word: str) -> None:
        """Wait until every answer comes from settings with this word."""
        eventually(lambda: all(self.ask()[0] == word for _ in range(10)), 15, self.server.tail)

    def children(self) -> set[int]:
        """All processes but the supervisor."""
        return set(self.server.members()) - {self.server.pid}


class Program(Server):
    """The daemon's process, with its exit status."""

    def __init__(self, daemon: Daemon, guard: Sequence[str] = (), **environment: str) -> None:
        program = [sys.executable, "-m", "tests.integration.serve.echo"]
        super().__init__(
            "echo",
            [*guard, *program, daemon.settings, daemon.pid_file],
            daemon.folder / "log",
            user=MILTER_USER,
            environment={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        )

    @property
    def status(self) -> int | None:
        """The exit status, once it has ended."""
        return self._process.poll() if self._process else None


class Activated(Program):
    """Started as systemd does it: the listening socket is descriptor 3."""

    def __init__(self, daemon: Daemon, listener: socket.socket) -> None:
        self._listener = listener
        script = 'exec 3<&"$PASSED"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        guard = ["/bin/bash", "-c", script, "activate"]
        notify = str(daemon.folder / "notify")
        super().__init__(daemon, guard, NOTIFY_SOCKET=notify, PASSED=str(listener.fileno()))

    def start(self) -> None:
        """The socket survives the start of another program, which sockets of Python do not."""
        with pytest.MonkeyPatch.context() as patch:
            popen = functools.partial(subprocess.Popen, pass_fds=[self._listener.fileno()])
            patch.setattr(subprocess, "Popen", popen)
            super().start()


class Session:
    """A client's connection; an answer that does not come is an error."""

    def __init__(self, path: Path) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(20)
        self._connection.connect(str(path))
        self._stream = self._connection.makefile("rb")

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._connection.close()

    def ask(self, line: str) -> list[str]:
        """Send a line, read the answer; ConnectionError when there is none."""
        self._connection.sendall(line.encode() + b"\n")
        answer = self._stream.readline()
        if not answer:
            raise ConnectionError("the session was cut")
        return answer.decode().split()


class Load:
    """Parallel clients; each makes sessions of several lines until it is stopped."""

    def __init__(self, daemon: Daemon, clients: int = 20) -> None:
        self._daemon = daemon
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self.failures: list[str] = []
        self.done = 0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, sessions: int = 20) -> None:
        """Wait until so many more sessions were finished."""
        goal = self.done + sessions
        eventually(lambda: self.done >= goal or self.failures, 30, self._daemon.server.tail)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._daemon.connect() as session:
                    for number in range(5):
                        assert session.ask(f"line{number}")[2] == f"line{number}"
                        self._stop.wait(0.02)
            except OSError as error:
                self.failures.append(repr(error))
                return
            self.done += 1


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """The daemon, started; stopped at the end."""
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()
