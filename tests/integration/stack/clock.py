"""A wall clock of our daemons alone, which a test sets by libfaketime.

It is the time of day that jumps, as when somebody sets it: the monotonic clock goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iems.serve.status import StatusError, published
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.programs import need
from tests.waiting import eventually

_LIBRARY = "/usr/$LIB/faketime/libfaketimeMT.so.1"
"""The loader knows what $LIB is on this machine."""

_NEAR = 60.0
"""Seconds between what a clock was set to and what it shows: above a beat, below every jump."""


class Clock:
    """One for each daemon; `status` is what this publishes."""

    def __init__(self, daemon: Daemon, status: Path) -> None:
        need("faketime")
        self._daemon = daemon
        self._status = status
        self._file = status.parent.parent / f"{daemon.name}.clock"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The daemon is started anew with this clock, and with its own at the end."""
        self.set(0)
        before = self._daemon.server.environment
        self._restart(before | self.environment)
        try:
            yield
        finally:
            self._restart(before)

    @property
    def environment(self) -> dict[str, str]:
        """With which a daemon goes by this clock from its start on."""
        return {
            "LD_PRELOAD": _LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def set(self, seconds: int) -> None:
        """So many seconds before or after the true time."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+d}\n")
        draft.chmod(0o644)
        draft.replace(self._file)

    def seen(self, seconds: int) -> None:
        """Wait until the daemon shows that its clock was set so."""
        eventually(lambda: abs(self._ahead() - seconds) < _NEAR, 20, self._daemon.log)

    def _ahead(self) -> float:
        try:
            return published(self._status).updated - time.time()
        except StatusError:
            return float("inf")

    def _restart(self, environment: dict[str, str]) -> None:
        self._daemon.stop()
        self._daemon.server.environment = environment
        self._daemon.start()
