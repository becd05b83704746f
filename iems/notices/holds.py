"""Notices to postmaster of accounts that are held: a job of the jobs process.

Each hold is told of once. A file beside the counts is written before, for whoever puts on hold what
such an account has queued, which only root can. A mail server that does not take a notice is tried
again; one that refuses it for good is not. Those for whom a run has no time are told of by the
next. Where the counts cannot be read the workers tell of it, and the next run looks again.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from iems.notices.postmaster import NoticeError, NoticeRefusedError, Notifier, Reporter
from iems.serve.deadline import Deadline
from iems.store.counters import Counters, CountersError, Held

NOTICE = "account-held"
INTERVAL = 5.0
"""Seconds between two looks, which cost a read of a row."""

TIMEOUT = 3.0
"""Seconds that the mail server may be silent: a notice begun in the last moment of a run ends, and
is kept, before the job counts as hung (`iems.serve.jobs`)."""

_KEEP_SECONDS = 1.0


@dataclass(frozen=True)
class HoldNotices:
    """The job; `file` is written when somebody is held."""

    counters: Counters
    file: Path
    notifier: Notifier
    log: Reporter

    def run(self, deadline: Deadline) -> None:
        """Tell of who was not told of."""
        with contextlib.suppress(CountersError):
            self._tell(deadline)

    def _tell(self, deadline: Deadline) -> None:
        new = [one for one in self.counters.held(deadline) if not one.told]
        if not new:
            return
        self.file.write_text("".join(f"{one.user}\n" for one in new), "utf-8")
        for one in new:
            if deadline.expired:
                break
            if self._sent(one):
                self.counters.tell(one, Deadline.after(_KEEP_SECONDS))

    def _sent(self, one: Held) -> bool:
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.since))
        try:
            self.notifier.notify(NOTICE, user=one.user, why=one.why, since=since)
        except NoticeError as error:
            self.log.warning("notice not sent", notice=NOTICE, user=one.user, error=str(error))
            return isinstance(error, NoticeRefusedError)
        self.log.warning("account held", user=one.user, why=one.why)
        return True
