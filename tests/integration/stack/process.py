"""One server process: started with a log file, stopped with a signal, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tests.integration.stack.programs import program
from tests.waiting import eventually

_STOP = 15.0
"""Seconds that a server has for its end; Postfix and Dovecot need well under one."""


class Server:
    """A foreground program in a session of its own; `log` holds what it prints."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        log: Path,
        *,
        user: str = "",
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self._arguments = [str(argument) for argument in arguments]
        self._user = user
        self.environment = dict(environment or {})
        """Beside the environment of the tests; another one counts from the next start on."""
        self._signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: set[int] = set()

    def start(self) -> None:
        """Start it; whether it works is for the caller to wait for."""
        as_user = ["--reuid", self._user, "--regid", self._user, "--init-groups", "--"]
        guard = [program("setpriv"), *as_user] if self._user else []
        own = [f"{name}={value}" for name, value in self.environment.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # Behind the change of user, for a library that is preloaded must not see root.
                [*guard, "env", *own, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._sessions.add(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id of the program itself, not of its children."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself."""
        self.wants_running()
        os.kill(self.pid, number)

    def stop(self, within: float = _STOP) -> None:
        """End it; the whole session is killed when it does not end `within` seconds."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(self._signal)
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop\n{self.tail()}") from None
        self.members()  # so that what is over by now is forgotten

    def kill(self) -> None:
        """Kill the program and everything of its session at once."""
        for pid in self.members():
            kill(pid)
        if self._process is not None:
            self._process.wait(_STOP)
        eventually(lambda: not self.members(), _STOP, self._left)

    def pause(self) -> None:
        """Let it hang, with everything of its session: its sockets stay open and nobody answers."""
        for pid in sorted(self.members()):
            kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        for pid in self.members():
            kill(pid, signal.SIGCONT)

    def members(self) -> tuple[int, ...]:
        """The processes that live in this server's sessions, its children included.

        A session without any is over, and its number may be that of a stranger's one day.
        """
        found = processes_in(self._sessions)
        if not found:
            self._sessions.clear()
        return found

    def gone(self) -> None:
        """Wait until no process of the session is left; kill and tell when one stays."""
        try:
            eventually(lambda: not self.members(), _STOP, self._left)
        except AssertionError:
            self.kill()
            raise

    def wants_running(self) -> None:
        """AssertionError with the end of its log when it has ended by itself."""
        assert self.running, f"{self.name} is not running\n{self.tail()}"

    def tail(self, lines: int = 40) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _left(self) -> str:
        return f"{self.name} left {[(pid, command(pid)) for pid in self.members()]}"


def processes_in(sessions: Collection[int]) -> tuple[int, ...]:
    """The processes that live in these sessions."""
    return tuple(pid for pid in _pids() if _session(pid) in sessions)


def processes_below(folder: Path) -> dict[int, str]:
    """Processes whose root, working folder or command line lies in `folder`: nobody's of ours."""
    found = {}
    for pid in _pids():
        if pid == os.getpid():
            continue
        places = [_link(pid, "cwd"), _link(pid, "root"), command(pid)]
        if any(str(folder) in place for place in places):
            found[pid] = command(pid)
    return found


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def parent(pid: int) -> int:
    """The process that started this one; -1 where it is no more."""
    return _numbers(pid)[0]


def _session(pid: int) -> int:
    return _numbers(pid)[2]


def _numbers(pid: int) -> tuple[int, int, int]:
    """Parent, group and session of a process; -1 each where it is dead or gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return -1, -1, -1
    state, above, group, session, *_rest = stat.rpartition(")")[2].split()
    return (-1, -1, -1) if state in {"Z", "X"} else (int(above), int(group), int(session))


def _link(pid: int, name: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/{name}").readlink())
    except OSError:
        return ""


def command(pid: int) -> str:
    """Its command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a process a signal, KILL unless told otherwise, if it still is."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
