"""Ways to break what the daemons stand on, each undone at the end of its `with` block."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from tests.integration.stack.daemons import Daemon
from tests.integration.stack.ground import AGENT_USER, owned
from tests.integration.stack.programs import run


class Hanging(Protocol):
    """A server that can be made to hang."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


@contextmanager
def hanging(server: Hanging) -> Iterator[None]:
    """The server answers nobody."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Nobody but root can write in this folder of the agent."""
    owned(folder, "root", "root", 0o755)
    try:
        yield
    finally:
        owned(folder, AGENT_USER, AGENT_USER, 0o750)


@contextmanager
def small_files(daemon: Daemon, size: int) -> Iterator[None]:
    """No file of the daemon's workers can grow beyond so many bytes."""
    _bound(daemon, str(size))
    try:
        yield
    finally:
        _bound(daemon, "unlimited")


def _bound(daemon: Daemon, size: str) -> None:
    # Root may not do so in every container, the user of the process always may.
    user = ("setpriv", "--reuid", daemon.user, "--regid", daemon.user, "--init-groups", "--")
    for pid in daemon.workers():
        run(*user, "prlimit", "--pid", str(pid), f"--fsize={size}:")


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Somebody else holds the records of this state folder: no transaction gets in."""
    with closing(sqlite3.connect(state / "records.sqlite", isolation_level=None)) as records:
        records.execute("BEGIN IMMEDIATE")
        yield
        records.execute("ROLLBACK")
