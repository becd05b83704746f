"""How old are the signatures of the virus scanners? Asked now and then, for people and alarms.

The age is a level of the meter, and what is older than the settings allow is told to postmaster.
A scanner that does not answer is told of elsewhere (`iems.serve.backends`), and one that does not
say how old its signatures are, as clamd with none but its own, has no age.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from iems.serve.deadline import Deadline
from iems.serve.jobs import Job
from iems.serve.meter import Meter
from milters.engines.clamd import Clamd
from milters.engines.engine import EngineError

INTERVAL = 600.0
DAY = 86400.0
_PATIENCE = 5.0
"""Seconds for one question."""


def ages(
    scanners: Mapping[str, Clamd],
    days: int,
    meter: Meter,
    tell: Callable[[Mapping[str, str]], None],
    clock: Callable[[], float] = time.time,
) -> Job:
    """The job; `scanners` by the names under which postmaster hears of them, 0 days: never."""

    def run(deadline: Deadline) -> None:
        old: dict[str, str] = {}
        for name, scanner in scanners.items():
            try:
                made = scanner.signed(deadline.sooner(_PATIENCE))
            except EngineError:
                continue
            if made is None:
                continue
            age = max(0.0, clock() - made)
            meter.level("signatures_age_seconds", age, backend=name)
            late = days and age > days * DAY
            old[name] = f"signatures of {age / DAY:.0f} days ago" if late else ""
        tell(old)

    return Job("signatures", INTERVAL, run)
