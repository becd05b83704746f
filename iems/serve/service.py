"""What a daemon gives to its supervisor: its name, and for each set of settings a generation."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from iems.serve.control import Control
from iems.serve.jobs import Job
from iems.serve.log import Log

Socket: TypeAlias = socket.socket


class DaemonSettings(Protocol):
    """What the supervisor itself needs to know of the settings."""

    @property
    def workers(self) -> int:
        """How many processes."""
        ...

    @property
    def socket(self) -> Path:
        """Where to listen."""
        ...

    @property
    def socket_group(self) -> str:
        """Whose members may connect; "" for the group of the folder."""
        ...

    @property
    def status(self) -> Path:
        """Where the supervisor publishes how the daemon is; on no disk that can hang."""
        ...

    @property
    def max_memory(self) -> int:
        """Bytes; a process that holds more is drained and replaced."""
        ...


class Generation(Protocol):
    """The settings of some workers, loaded and never changed again."""

    @property
    def daemon(self) -> DaemonSettings:
        """What concerns the supervisor."""
        ...

    @property
    def fingerprint(self) -> str:
        """What tells these settings from all others, secrets included, and gives away none."""
        ...

    def work(self, listener: Socket, control: Control, log: Log) -> None:
        """In a worker: serve until `control.draining`, then end what is open and return.

        `listener` does not block: where several workers wait, one gets the connection.
        """

    def jobs(self, control: Control, log: Log) -> Sequence[Job]:
        """In the jobs process: what is to be done from time to time."""
        ...


class Service(Protocol):
    """A daemon, as the supervisor sees it."""

    @property
    def name(self) -> str:
        """Its name in the log."""
        ...

    def prepare(self) -> Generation:
        """Load and check the settings, open nothing; SettingsError says what is wrong."""
        ...
