"""What `iems status` and `iems metrics` tell: read from files alone, so that nothing waits.

The daemons publish how they are (`iems.serve.status`), the milter's jobs how the lists are; what
waits in Postfix's queues and in quarantine is counted. A part that cannot be read is missing from
the answer and never an error: the rest is wanted most when something is broken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iems.serve.status import Status, StatusError, published
from iems.settings.schema import Settings
from iems.store.quarantine import Quarantine
from milters.checks import guard
from milters.checks.guard import ListHealth

QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
"""Postfix's own names (qshape(1))."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The server now; `daemons` has a text where there is no status, which says why."""

    daemons: Mapping[str, Status | str]
    lists: Mapping[str, ListHealth]
    queues: Mapping[str, int]
    quarantine: int | None


def overview(settings: Settings, queue_directory: Path | None = None) -> Overview:
    """All of it; PermissionError where the caller may not read what the daemons publish."""
    daemons = {"iems-milter": settings.milter.status, "iems-lmtp": settings.agent.status}
    spool = queue_directory or _queue_directory()
    return Overview(
        {name: _status(file) for name, file in daemons.items()},
        guard.published(settings.milter.state / "health.json"),
        _queues(spool) if spool else {},
        _quarantined(settings.agent.state / "quarantine"),
    )


def _status(file: Path) -> Status | str:
    try:
        return published(file)
    except StatusError as error:
        return str(error)


def _queues(spool: Path) -> dict[str, int]:
    return {name: _files(spool / name) for name in QUEUES if (spool / name).is_dir()}


def _files(folder: Path) -> int:
    """Messages come and go meanwhile: what vanishes while it is counted is not counted."""
    return sum(len(files) for _folder, _folders, files in os.walk(folder))


def _quarantined(folder: Path) -> int | None:
    return len(Quarantine(folder).ids()) if folder.is_dir() else None


def _queue_directory() -> Path | None:
    """Where Postfix keeps its queues; None where there is no Postfix here."""
    program = shutil.which("postconf", path="/usr/sbin:/usr/bin")
    if program is None:
        return None
    command = [program, "-xh", "queue_directory"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return Path(done.stdout.strip()) if done.returncode == 0 else None
