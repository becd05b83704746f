"""What all private servers stand on: one folder that every user may enter, free ports, users.

The folder's path is short, for the path of a unix socket has at most 107 bytes.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from tests.integration.stack.guardian import Guardian
from tests.integration.stack.process import Server, processes_below
from tests.integration.stack.programs import run
from tests.waiting import eventually

MILTER_USER = "iems-milter"
AGENT_USER = "iems-lmtp"
BAYES_USER = "iems-bayes"
GROUP = "iems"
TRAIN_GROUP = "iems-train"
"""Who may connect to the training daemon."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""Which of the processes of pytest this is that share the tests of a run."""

_PORTS = range(10_000 + _WORKER, 32_000, _WORKERS)
"""Below net.ipv4.ip_local_port_range; no other process of the run has them."""


class Startable(Protocol):
    """A server of this package."""

    def start(self) -> None:
        """Start it and wait until it works."""

    def stop(self) -> None:
        """Stop it and wait until nothing of it is left."""


_Startable = TypeVar("_Startable", bound=Startable)


@contextmanager
def running(server: _Startable) -> Iterator[_Startable]:
    """The server, started, and stopped at the end whatever happens."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Ground:
    """The temporary folder of one run, and all servers that were started on it."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="iems-")))
    servers: list[Server] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.chmod(0o755)
        self._guardian = Guardian(self.folder)

    def place(self, name: str) -> Path:
        """A new folder for one server; a second one of the same name gets a number."""
        for number in range(1, 1000):
            folder = self.folder / (name if number == 1 else f"{name}{number}")
            if not folder.exists():
                folder.mkdir()
                folder.chmod(0o755)
                return folder
        raise AssertionError(f"too many servers called {name}")

    def port(self) -> int:
        """A free TCP and UDP port of 127.0.0.1, out of the range from which clients get theirs.

        So nobody takes it while its server is stopped.
        """
        for number in random.SystemRandom().sample(_PORTS, 100):
            with (
                socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
            ):
                try:
                    stream.bind(("127.0.0.1", number))
                    datagram.bind(("127.0.0.1", number))
                except OSError:
                    continue
            if number not in self.ports:
                self.ports.append(number)
                return number
        raise AssertionError("no free port")

    def started(self, server: Server) -> Server:
        """Start a server and remember it for the check at the end."""
        server.start()
        self._guardian.watch(server.pid)
        self.servers.append(server)
        return server

    def leftovers(self) -> list[str]:
        """What should be gone once every server was stopped: processes, listening ports."""
        left = [f"process {pid} {command}" for pid, command in processes_below(self.folder).items()]
        left += [f"{server.name} {pid}" for server in self.servers for pid in server.members()]
        return left + [f"port {number}" for number in self.ports if _listening(number)]

    def close(self) -> None:
        """Remove the folder; AssertionError names what is left, which is killed first."""
        try:
            eventually(lambda: not self.leftovers(), 10, lambda: "; ".join(self.leftovers()))
        finally:
            for server in self.servers:
                server.kill()
            shutil.rmtree(self.folder)
            self._guardian.done()


def users() -> None:
    """The system users of the daemons, as the playbook makes them, where the machine lacks them."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # useradd fails where another one is at work
        _users()


def _users() -> None:
    _group(GROUP)
    _group(TRAIN_GROUP)
    groups = {
        MILTER_USER: (GROUP, "postfix"),
        BAYES_USER: (GROUP, TRAIN_GROUP),
        AGENT_USER: (GROUP, "postfix", MILTER_USER, BAYES_USER, TRAIN_GROUP),
    }
    for name, wanted in groups.items():
        try:
            pwd.getpwnam(name)
        except KeyError:
            run(
                *("useradd", "--system", "--user-group"),
                *("--no-create-home", "--home-dir", "/nonexistent"),
                *("--shell", "/usr/sbin/nologin", name),
            )
        if not all(name in grp.getgrnam(group).gr_mem for group in wanted):
            run("usermod", "--append", "--groups", ",".join(wanted), name)


def owned(path: Path, user: str, group: str, mode: int) -> Path:
    """Give a file or folder to `user:group` with `mode`."""
    shutil.chown(path, user, group)
    path.chmod(mode)
    return path


def accepts(port: int) -> bool:
    """Whether something listens on this TCP port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def accepts_unix(path: Path) -> bool:
    """Whether something listens on this unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def _group(name: str) -> None:
    try:
        grp.getgrnam(name)
    except KeyError:
        run("groupadd", "--system", name)


def _listening(port: int) -> bool:
    suffix = f":{port:04X}"
    for table in (Path("/proc/net/tcp"), Path("/proc/net/udp")):
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            if words[1] == f"0100007F{suffix}" and words[3] in {"0A", "07"}:
                return True
    return False
