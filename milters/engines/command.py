"""A virus scanner that is a command: it is given octets and says by its exit code what they are.

The octets are its standard input, a file without a name that may be read from anywhere, and
`/dev/stdin` is its path for a program that wants one. It runs as the user of the milter, may gain
no more rights than that, and has none of our environment, descriptors or output. At the deadline it
is killed with all of its group; what it leaves running when it ends is killed as well.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from iems.serve.deadline import Deadline
from iems.serve.unprivileged import guard
from milters.engines.engine import EngineError
from milters.engines.scanner import Octets, Scanned, Verdict

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `codes` are the exit codes that say something, `folder` is for its input."""

    command: tuple[str, ...]
    codes: Mapping[int, Verdict]
    folder: Path

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        """What it says by the deadline; EngineError."""
        try:
            with tempfile.TemporaryFile(dir=self.folder) as given:
                for piece in octets.pieces():
                    if deadline.expired:
                        raise EngineError("gives no answer in time")
                    given.write(piece)
                given.seek(0)
                code = _ended(self.command, given, deadline)
        except OSError as error:
            raise EngineError(f"cannot be run: {error.strerror}") from None
        verdict = self.codes.get(code)
        if verdict is None:
            raise EngineError(f"ends with exit code {code}")
        return Scanned(verdict, "" if verdict is Verdict.CLEAN else f"exit code {code}")


def _ended(command: tuple[str, ...], given: IO[bytes], deadline: Deadline) -> int:
    """Its exit code."""
    with _running(command, given) as process:
        if not _over(process.pid, deadline):
            raise EngineError("gives no answer in time")
    return process.returncode


def _over(pid: int, deadline: Deadline) -> bool:
    """Whether it ends by the deadline; it is not waited for, so that its number stays its own."""
    descriptor = os.pidfd_open(pid)
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        return bool(ended.poll(1000 * deadline.remaining()))
    finally:
        os.close(descriptor)


@contextmanager
def _running(command: tuple[str, ...], given: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The command, with nothing left of its group behind the block."""
    process = subprocess.Popen(
        [*guard(), *command],
        stdin=given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_ENVIRONMENT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
