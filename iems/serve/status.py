"""What a supervisor publishes about its daemon: a file that is renamed into place with each beat.

It lies where no disk can hang (`/run`), for the supervisor must never wait. What cannot be written
is not: `iems status` then shows an old file as what it is. Counters begin anew with the supervisor
(a new image of it, too) and outlive its workers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from iems.serve.meter import Snapshot

VERSION = 1
STALE = 20.0
"""Seconds: a supervisor publishes every 5; one that missed three times is hung or gone."""


class StatusError(Exception):
    """There is no status of this daemon that can be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Process:
    """A child: `born` in seconds of the epoch, `memory` in bytes of resident set."""

    pid: int
    role: str
    generation: int
    born: float
    memory: int
    draining: bool


@dataclass(frozen=True, slots=True)
class Status:
    """A daemon at the time `updated`; times in seconds of the epoch.

    `settings` is when the settings in force were read, and `fingerprint` tells them from all others
    (`iems check --live` compares it with that of what is written); `restarts` counts the processes
    of each role that ended without being told to.
    """

    daemon: str
    release: str
    pid: int
    started: float
    updated: float
    generation: int
    settings: float
    fingerprint: str
    processes: Sequence[Process] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)
    seen: Snapshot = field(default_factory=Snapshot)

    @property
    def stale(self) -> bool:
        """Whether nobody writes it any more."""
        return abs(time.time() - self.updated) > STALE


def publish(path: Path, status: Status) -> None:
    """Write the file beside its name and rename it; OSError where that cannot be."""
    document = asdict(status) | {"version": VERSION, "seen": status.seen.document()}
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(document) + "\n")
    draft.replace(path)


def published(path: Path) -> Status:
    """What the file says; StatusError where there is none or it makes no sense."""
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        if document.pop("version") != VERSION:
            raise StatusError(f"{path} is of another version")
        document["seen"] = Snapshot.read(document["seen"])
        document["processes"] = [Process(**one) for one in document["processes"]]
        return Status(**document)
    except FileNotFoundError:
        raise StatusError(f"no {path}: it does not run") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StatusError(f"{path} cannot be read: {type(error).__name__}: {error}") from None


def resident(pid: int) -> int:
    """Bytes of memory that a process holds (proc(5), statm); 0 for one that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
