"""The periodic look at what a daemon stands on: does each server answer now?

It is for people and alarms (`iems status`, `iems metrics`, notices); no message is decided by it.
Each server is asked by a question of its own that ends by the deadline; what it said is logged when
it changes, and each look is told to `tell`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from iems.serve.deadline import Deadline
from iems.serve.jobs import Job
from iems.serve.log import Log
from iems.serve.meter import Meter

INTERVAL = 15.0
"""Seconds between two looks: an outage is seen within three scrapes of a usual Prometheus."""

_PATIENCE = 5.0
"""Seconds for one question; three servers fit between two looks."""

Question: TypeAlias = Callable[[Deadline], str]
"""Ask a server; why it does not answer, or an empty text."""


def backends(
    questions: Mapping[str, Question],
    meter: Meter,
    log: Log,
    tell: Callable[[Mapping[str, str]], None],
) -> Job:
    """The job; `questions` by the names that `iems status` shows."""
    wrong: dict[str, str] = {}

    def run(deadline: Deadline) -> None:
        for name, ask in questions.items():
            why = ask(deadline.sooner(_PATIENCE))
            meter.level("backend_up", float(not why), backend=name)
            if why and not wrong.get(name):
                log.error("a server does not answer", backend=name, why=why)
            elif wrong.get(name) and not why:
                log.info("a server answers again", backend=name)
            wrong[name] = why
        tell(wrong)

    return Job("backends", INTERVAL, run)
