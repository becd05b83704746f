"""What `iems status` and `iems metrics` tell: read from files alone, so that nothing waits.

The daemons publish how they are (`iems.serve.status`), the milter's jobs how the lists are; what
waits in Postfix's queues and in quarantine is counted. A part that cannot be read is missing from
the answer and never an error: the rest is wanted most when something is broken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.postfix import PostfixError
from cli.queued import instances
from iems.model.finding import BAYES
from iems.serve.status import Status, StatusError, published
from iems.settings.schema import Settings
from iems.store.quarantine import Quarantine
from milters.checks import guard
from milters.checks.guard import ListHealth

QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
"""Postfix's own names (qshape(1))."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The server now; `daemons` has a text where there is no status, which says why.

    `queues` are those of each Postfix instance.
    """

    daemons: Mapping[str, Status | str]
    lists: Mapping[str, ListHealth]
    queues: Mapping[str, Mapping[str, int]]
    quarantine: int | None


def overview(settings: Settings) -> Overview:
    """All of it; PermissionError where the caller may not read what the daemons publish."""
    daemons = {"iems-milter": settings.milter.status, "iems-lmtp": settings.agent.status}
    if any(check.family == BAYES for check in settings.checks):
        daemons["iems-bayes"] = settings.bayes.status
    return Overview(
        {name: _status(file) for name, file in daemons.items()},
        guard.published(settings.milter.state / "health.json"),
        {name: _queues(folder) for name, folder in _queue_directories().items()},
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


def _queue_directories() -> dict[str, Path]:
    """Where each Postfix of this machine keeps its queues."""
    try:
        return {one.name: one.queues for one in instances()}
    except PostfixError:
        return {}
