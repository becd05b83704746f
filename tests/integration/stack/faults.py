"""Ways to break what the daemons stand on, each undone at the end of its `with` block."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from tests.integration.stack.daemons import Daemon
from tests.integration.stack.ground import AGENT_USER, owned
from tests.integration.stack.programs import run

_DISK = 16 << 20
"""Bytes: a page for each file of some thousand messages."""


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


class Disk:
    """A small file system on a folder that is not yet there; what is on it goes at the end."""

    def __init__(self, folder: Path, owner: str) -> None:
        self._folder = folder
        self._owner = owner

    def __enter__(self) -> Disk:
        self._folder.mkdir()
        options = f"size={_DISK},mode=0700,uid={self._owner},gid={self._owner}"
        run("mount", "-t", "tmpfs", "-o", options, "iems", self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever still has a file open there keeps nobody from going on.
        run("umount", "--lazy", self._folder)
        self._folder.rmdir()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Nothing more can be written."""
        filler = self._folder / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            filler.unlink()


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Somebody else holds the records of this state folder: no transaction gets in."""
    with closing(sqlite3.connect(state / "records.sqlite", isolation_level=None)) as records:
        records.execute("BEGIN IMMEDIATE")
        yield
        records.execute("ROLLBACK")
