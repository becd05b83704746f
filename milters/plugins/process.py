"""One process of a plug-in, as the milter sees it: begun, asked, killed with all of its group.

It is begun by an `exec`, so that it has nothing of ours: no memory, no environment, no descriptor
but its end of a pair of sockets and a leash, a pipe by which the kernel kills its group when this
process is no more. It runs as the user of the milter (where root tries a message, as `nobody`) and
may gain no rights. What it writes to standard error goes to our log, some lines a minute.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from iems.codec.printable import LIMIT, printable
from iems.serve.deadline import Deadline
from iems.serve.unprivileged import guard
from milters.plugins.wire import MAX_REPLY, WireError, frame, receive

START_SECONDS = 20.0
"""For interpreter, imports and what the plug-in does at its start."""

_PROGRAM = ("-P", "-s", "-m", "milters.plugins.child")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_LINES = 20
"""Lines that the processes of a plug-in may have logged within a minute; of more it is told."""

_MINUTE = 60.0
_LISTENS = 1.0
"""Seconds for what a process that was killed has written."""

_PIECE = 64 << 10
_NAMES = {one.value: one.name for one in signal.Signals}
"""Most signals of real time have none."""

Echo = Callable[[str], None]


class PluginFailed(Exception):  # noqa: N818 - that of the process, not ours
    """It gave no answer that can be used; `over` is whether it must be replaced."""

    def __init__(self, why: str, *, over: bool = True) -> None:
        super().__init__(why)
        self.over = over


class Lines:
    """What all processes of one plug-in may have logged yet, in this minute."""

    def __init__(self) -> None:
        self._ends = 0.0
        self._left = 0

    @property
    def left(self) -> int:
        """How many."""
        if time.monotonic() > self._ends:
            self._ends, self._left = time.monotonic() + _MINUTE, _LINES
        return self._left

    def spend(self, count: int) -> None:
        """These were logged."""
        self._left = max(0, self._left - count)


class Process:
    """A running one, whose answers have at most `limit` bytes. OSError where none can be begun."""

    def __init__(self, echo: Echo, lines: Lines, limit: int = MAX_REPLY) -> None:
        self._limit = limit
        self._connection, theirs = socket.socketpair()
        reading, writing = os.pipe()
        held, self._leash = os.pipe()
        try:
            self._process = _begun((theirs.fileno(), held), writing)
        except OSError:
            self._connection.close()
            os.close(self._leash)
            os.close(reading)
            raise
        finally:
            theirs.close()
            os.close(held)
            os.close(writing)
        args = (reading, echo, lines)
        self._listener = threading.Thread(target=_listen, args=args, daemon=True)
        try:
            self._listener.start()
        except RuntimeError:
            os.close(reading)
            self.kill()
            raise

    def order(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tell it what it is; what it answers. PluginFailed."""
        deadline = Deadline.after(START_SECONDS)
        self._send(frame(told), deadline)
        return self._receive(deadline)

    @property
    def silent(self) -> bool:
        """Whether it is there and says nothing, as it must while nobody asks it."""
        said = select.poll()
        said.register(self._connection, select.POLLIN)
        return not said.poll(0)

    def ask(
        self, told: Mapping[str, Any], octets: Sequence[bytes], descriptor: int, deadline: Deadline
    ) -> None:
        """Ask it about a message; a descriptor that is not negative goes with it. PluginFailed."""
        passed = [descriptor] if descriptor >= 0 else []
        self._send(frame(told, octets), deadline, passed)

    def tell(self, told: Mapping[str, Any], deadline: Deadline) -> None:
        """Answer a question of its own. PluginFailed."""
        self._send(frame(told), deadline)

    def hear(self, number: int, deadline: Deadline) -> Mapping[str, Any]:
        """What it says next about the message of this number. PluginFailed."""
        told = self._receive(deadline)
        if told.get("number") != number:
            raise PluginFailed("answers nonsense: what nobody asked")
        return told

    def kill(self) -> None:
        """End it and what it has begun, as far as that stayed in its group.

        Nothing of it is left then, and no thread, unless something that left its group still writes
        to standard error.
        """
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._leash)
        self._connection.close()
        if self._listener.is_alive():
            self._listener.join(_LISTENS)

    def _send(
        self, pieces: list[bytes], deadline: Deadline, passed: list[int] | None = None
    ) -> None:
        try:
            if passed is not None:
                # A descriptor arrives with the byte that it was sent with: here one of its own.
                _wait(self._connection, deadline)
                socket.send_fds(self._connection, [b"\0"], passed)
            for piece in pieces:
                _wait(self._connection, deadline)
                self._connection.sendall(piece)
        except TimeoutError:
            raise PluginFailed("gives no answer in time") from None
        except OSError:
            raise self._gone() from None

    def _receive(self, deadline: Deadline) -> dict[str, Any]:
        try:
            return receive(self._connection, self._limit, lambda: _wait(self._connection, deadline))
        except TimeoutError:
            raise PluginFailed("gives no answer in time") from None
        except WireError as error:
            raise PluginFailed(f"answers nonsense: {error}") from None
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> PluginFailed:
        """It has closed its end, which it does where it ends."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1.0)
            if code < 0:
                return PluginFailed(f"died of {_NAMES.get(-code, f'signal {-code}')}")
            return PluginFailed(f"ended with exit code {code}")
        return PluginFailed("hung up")


def _wait(connection: socket.socket, deadline: Deadline) -> None:
    """Each wait from here on ends by the deadline; TimeoutError where that is over."""
    left = deadline.remaining()
    if not left:
        raise TimeoutError
    connection.settimeout(left)


def _begun(passed: tuple[int, int], log: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    root = os.geteuid() == 0
    return subprocess.Popen(
        [*guard(), sys.executable, *_PROGRAM, *map(str, passed)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        cwd="/",
        env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "PYTHONPATH": path},
        pass_fds=passed,
        start_new_session=True,
        user="nobody" if root else None,
        group="nogroup" if root else None,
        extra_groups=[] if root else None,
    )


def _listen(descriptor: int, echo: Echo, lines: Lines) -> None:
    """Hand some lines a minute on, until nobody can write any more; the others are dropped."""
    rest = b""
    try:
        while piece := os.read(descriptor, _PIECE):
            if not (left := lines.left):
                rest = b""
                continue
            *found, rest = (rest + piece).split(b"\n", left)
            for line in found:
                echo(printable(line))
            lines.spend(len(found))
            rest = rest[:LIMIT]
            if len(found) == left:
                rest = b""
                echo("... and more, which is not told")
        if rest and lines.left:
            lines.spend(1)
            echo(printable(rest))
    finally:
        os.close(descriptor)
