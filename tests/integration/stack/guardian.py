"""Cleans up after a test run that was killed: ends its servers and removes its folder.

It is a process of its own that reads the servers' process ids from the run. When the run ends
without having said `done`, whatever lives in the sessions of these processes is killed. (The
kernel's parent death signal would not do: Postfix's master changes its user, which clears it.)
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.stack.process import kill, processes_below, processes_in

_DONE = "done"


class Guardian:
    """The run's end of the pipe."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).resolve().parents[3],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._say(str(folder))

    def watch(self, pid: int) -> None:
        """This process and its session are to end with the run."""
        self._say(str(pid))

    def done(self) -> None:
        """The run has cleaned up itself."""
        self._say(_DONE)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()


def main() -> None:
    """Read until the run says it is done, or is no more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = Path(sys.stdin.readline().strip())
    sessions: set[int] = set()
    for line in sys.stdin:
        if line.strip() == _DONE:
            return
        # The number of a session that is over may be that of a stranger's one day.
        sessions = {one for one in sessions if processes_in({one})} | {int(line)}
    for _attempt in range(3):
        for pid in (*processes_in(sessions), *processes_below(folder)):
            kill(pid)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
