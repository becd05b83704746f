"""What checks in shadow would have done: once a day by mail to postmaster, a job of the agent.

It is told from the records of the agent, who decides about everything that was let in; what the
milter refused can hardly be refused more. The first mail comes a day after the first check went
into shadow, and none after a day without mail. Where the records are more than can be read in time
it says so. One that cannot be sent is tried again with the next run, then with what has come since.
"""

from __future__ import annotations

import collections
import datetime
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from iems.notices.postmaster import NoticeError, Notifier, Reporter
from iems.serve.deadline import Deadline
from iems.store.records import Record, every
from iems.store.replay import Shadows

NOTICE = "shadow"
INTERVAL = 600.0
"""Seconds between two looks whether a day is over."""

DAY = 86400
_LONGEST = 7 * DAY
"""Seconds that are looked back at most, whenever the last mail was."""

_LINES = 50


@dataclass(frozen=True)
class ShadowNotices:
    """The job; `file` holds the time up to which postmaster was told."""

    checks: Collection[str]
    records: Path
    file: Path
    notifier: Notifier
    log: Reporter
    clock: Callable[[], float] = time.time

    def run(self, deadline: Deadline) -> None:
        """Send the mail if a day is over; RecordsError where the records cannot be read."""
        if not self.checks:
            self.file.unlink(missing_ok=True)
            return
        now, last = int(self.clock()), self._last()
        first = last is None or last > now
        since = now if last is None else max(last, now - _LONGEST)
        if first or (now - since >= DAY and self._told(since, deadline)):
            self._keep(now)

    def _told(self, since: int, deadline: Deadline) -> bool:
        """Whether postmaster knows, or there is nothing to know."""
        work = Shadows()
        sums: collections.Counter[tuple[str, str, str, str]] = collections.Counter()
        for one in work.differences(_in_time(every([self.records], since=since), deadline)):
            sums[one.check, one.band, one.was.word, one.now.word] += 1
        if not work.verdicts:
            return True
        lines = [
            f"{count:8}  {check} {band}: {was} -> {now}"
            for (check, band, was, now), count in sums.most_common(_LINES)
        ]
        if deadline.expired:
            lines.append("     ...  there was no time to count all that has come since")
        start = datetime.datetime.fromtimestamp(since, datetime.UTC)
        values = {
            "checks": ", ".join(sorted(self.checks)),
            "since": f"{start:%Y-%m-%d %H:%M} UTC",
            "verdicts": str(work.verdicts),
            "differences": str(sums.total()),
            "lines": "\n".join(lines) or "       0  no difference",
        }
        try:
            self.notifier.notify(NOTICE, **values)
        except NoticeError as error:
            self.log.warning("notice to postmaster not sent", notice=NOTICE, error=str(error))
            return False
        return True

    def _last(self) -> int | None:
        """None where nobody was told yet, or the file is damaged."""
        try:
            return int(self.file.read_text("ascii"))
        except (OSError, ValueError):
            return None

    def _keep(self, now: int) -> None:
        draft = self.file.with_name(self.file.name + ".new")
        draft.write_text(f"{now}\n", "ascii")
        draft.replace(self.file)


def _in_time(records: Iterable[Record], deadline: Deadline) -> Iterator[Record]:
    """As many as are read before the deadline, one at least."""
    for one in records:
        yield one
        if deadline.expired:
            return
