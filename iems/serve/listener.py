"""The listening unix socket: made by us, or passed by systemd or by our own image of before.

It is bound beside its name, given mode and group, set to listen and only then renamed, so that
whoever finds the name can connect. A socket file that nobody listens on is replaced; one that
somebody listens on is an error, `ListenError`, and so is a name that is no socket.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

MODE = 0o660
"""Whoever can connect can inject mail: the daemon and the group of the MTA only."""

_BACKLOG = 1024
"""Connections that wait while a worker is replaced; the kernel caps it at net.core.somaxconn."""


class ListenError(Exception):
    """The socket cannot be made; the message says which and why."""


@dataclass(frozen=True)
class Listener:
    """The socket; `inode` is what its file was when we made it, None when it is not ours."""

    socket: socket.socket
    path: Path
    inode: tuple[int, int] | None

    def remove(self) -> None:
        """Close the socket, and remove its file if it is still the one we made."""
        self.socket.close()
        if self.inode is not None and _inode(self.path) == self.inode:
            self.path.unlink(missing_ok=True)


def adopt(passed: socket.socket, path: Path, inode: tuple[int, int] | None) -> Listener:
    """A socket that was handed to us; ListenError if it is none that listens on a unix path."""
    if passed.family != socket.AF_UNIX or not passed.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        raise ListenError("the socket that was passed is no listening unix socket")
    passed.setblocking(False)
    return Listener(passed, path, inode)


def listen(path: Path, group: str) -> Listener:
    """Listen on `path` with mode 0660 and `group` ("" leaves the one that the folder gives)."""
    _refuse_taken(path)
    beside = path.with_name(path.name + ".bind")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)  # workers compete for a connection, all but one find nothing
    try:
        beside.unlink(missing_ok=True)
        made.bind(str(beside))
        if group:
            _give(beside, group)
        beside.chmod(MODE)
        made.listen(_BACKLOG)
        beside.rename(path)
    except (OSError, KeyError) as error:
        made.close()
        with contextlib.suppress(OSError):
            beside.unlink()
        raise ListenError(f"cannot listen on {path}: {error}") from error
    return Listener(made, path, _inode(path))


def _refuse_taken(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(str(path))
    if code in {0, errno.EAGAIN}:
        raise ListenError(f"another process listens on {path}")
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path} is no socket; it is not replaced")


def _give(path: Path, group: str) -> None:
    number = grp.getgrnam(group).gr_gid
    if path.stat().st_gid != number:
        os.chown(path, -1, number)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
