"""A daemon that echoes lines with the word of its settings and its process id.

    python -m tests.integration.serve.echo SETTINGS [PID-FILE]

The settings are JSON: path and group of the socket, word, workers, and where its jobs log; beside
them lie the times of the supervisor. The line `fail` ends a worker by an exception, after the line
`stay` it does not end when it shall; `hold N` makes it hold N bytes for ever, `complain` log an
error.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket as sockets
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.supervisor import Control, Job, Timing, serve
from iems.settings.read import SettingsError


@dataclass(frozen=True)
class Echo:
    """The service."""

    settings: Path
    name: str = "echo"

    def prepare(self) -> EchoGeneration:
        """Read the settings."""
        try:
            values = json.loads(self.settings.read_text())
            if values.pop("deadly", False):
                os.kill(os.getpid(), signal.SIGKILL)
        except ValueError:
            raise SettingsError([f"{self.settings}: no JSON"]) from None
        return EchoGeneration(**values)


@dataclass(frozen=True)
class EchoGeneration:
    """Settings as they were read."""

    path: str
    word: str
    group: str = ""
    workers: int = 2
    broken: bool = False
    jobs_log: str = ""
    held: list[bytes] = field(default_factory=list)

    max_memory: int = 1 << 40

    @property
    def daemon(self) -> EchoGeneration:
        """It is its own settings."""
        return self

    @property
    def fingerprint(self) -> str:
        """The word stands for all settings."""
        return self.word

    @property
    def socket(self) -> Path:
        """Where to listen."""
        return Path(self.path)

    @property
    def socket_group(self) -> str:
        """Who may connect."""
        return self.group

    @property
    def status(self) -> Path:
        """Where the supervisor says how it is."""
        return Path(self.path).with_name("status.json")

    def work(self, listener: sockets.socket, control: Control, log: Log) -> None:
        """A thread per connection; what it echoes is counted."""
        if self.broken:
            raise RuntimeError("these settings do not work")
        threads: list[threading.Thread] = []
        failed, stays = threading.Event(), threading.Event()
        while not control.draining.is_set() and not failed.is_set():
            if select.select([listener], [], [], 0.02)[0]:
                try:
                    connection, _address = listener.accept()
                except BlockingIOError:
                    continue
                thread = threading.Thread(
                    target=self._talk, args=(connection, control, log, failed, stays), daemon=True
                )
                thread.start()
                threads.append(thread)
        if failed.is_set():
            raise RuntimeError("told to fail")
        if stays.is_set():
            threading.Event().wait()
        end = Deadline.after(control.limit)
        for thread in threads:
            thread.join(end.remaining())

    def _talk(
        self,
        connection: sockets.socket,
        control: Control,
        log: Log,
        failed: threading.Event,
        stays: threading.Event,
    ) -> None:
        connection.setblocking(True)
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                control.meter.count("lines_total")
                if line.startswith(b"hold "):
                    self.held.append(b"x" * int(line.split()[1]))
                if line == b"complain\n":
                    log.error("told to complain")
                stream.write(b"%s %d %s" % (self.word.encode(), os.getpid(), line))
                stream.flush()
                if line == b"fail\n":
                    failed.set()
                if line == b"stay\n":
                    stays.set()

    def jobs(self, _control: Control, _log: Log) -> Sequence[Job]:
        """One job that works, one that fails, one that hangs."""
        if not self.jobs_log:
            return ()
        return tuple(Job(name, 0.2, self._job(name)) for name in ("works", "fails", "hangs"))

    def _job(self, name: str) -> _Run:
        return _Run(name, Path(self.jobs_log))


@dataclass(frozen=True)
class _Run:
    name: str
    log: Path

    def __call__(self, deadline: Deadline) -> None:
        with self.log.open("a") as log:
            log.write(f"{self.name} {os.getpid()} {deadline.remaining() > 0}\n")
        if self.name == "fails":
            raise ValueError("a job that fails")
        if self.name == "hangs":
            time.sleep(3600)


def main() -> int:
    """Run the daemon."""
    settings = Path(sys.argv[1])
    pid_file = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    times = json.loads(settings.with_suffix(".times").read_text())
    return serve(Echo(settings), foreground_log=True, pid_file=pid_file, timing=Timing(**times))


if __name__ == "__main__":
    sys.exit(main())
