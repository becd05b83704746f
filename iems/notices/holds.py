"""Notices to postmaster of accounts that are held: a job of the jobs process.

Each hold is told of once, by one of the MTAs that share the counts. A file of this machine is
written before, when there is a hold that does not stand in it, for whoever puts on hold what such
an account has queued here, which only root can. A mail server that does not take a notice is tried
again; one that refuses it for good is not. Those for whom a run has no time are told of by the
next. Where the counts cannot be read the workers tell of it, and the next run looks again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iems.codec.printable import printable
from iems.notices.postmaster import NoticeError, NoticeRefusedError, Notifier, Reporter
from iems.serve.deadline import Deadline
from iems.store.counters import Claim, Counters, CountersError, Held

NOTICE = "account-held"
INTERVAL = 5.0
"""Seconds between two looks, which cost a read of a row."""

TIMEOUT = 3.0
"""Seconds that the mail server may be silent: a notice begun in the last moment of a run ends, and
is kept, before the job counts as hung (`iems.serve.jobs`)."""

_KEEP_SECONDS = 1.0

_TELLING = 60.0
"""Seconds for which a notice is left to the MTA that has begun to send it."""


@dataclass(frozen=True)
class HoldNotices:
    """The job; `file` lists who is held, and changes when somebody else is."""

    counters: Counters
    file: Path
    notifier: Notifier
    log: Reporter

    def run(self, deadline: Deadline) -> None:
        """Tell of who was not told of."""
        with contextlib.suppress(CountersError):
            self._tell(deadline)

    def _tell(self, deadline: Deadline) -> None:
        held = self.counters.held(deadline)
        self._wake(held)
        for one in held:
            if deadline.expired:
                break
            if not one.told:
                self._told(one, deadline)

    def _wake(self, held: Sequence[Held]) -> None:
        lines = [f"{printable(one.user)} {one.since:.6f}\n" for one in held]
        try:
            before = self.file.read_text("utf-8", "replace").splitlines(keepends=True)
        except FileNotFoundError:
            before = []
        if not set(lines) <= set(before):
            self.file.write_text("".join(lines), "utf-8")

    def _told(self, one: Held, deadline: Deadline) -> None:
        """Tell of it, unless another MTA does so now."""
        turn = Claim(f"notice {one.user} {one.since}", _TELLING, 1)
        if self.counters.take([turn], deadline) != (0.0,):
            return
        if self._sent(one):
            self.counters.tell(one, Deadline.after(_KEEP_SECONDS))
        else:
            self.counters.add(turn.key, -1, _TELLING, Deadline.after(_KEEP_SECONDS))

    def _sent(self, one: Held) -> bool:
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.since))
        try:
            self.notifier.notify(NOTICE, user=one.user, why=one.why, since=since)
        except NoticeError as error:
            self.log.warning("notice not sent", notice=NOTICE, user=one.user, error=str(error))
            return isinstance(error, NoticeRefusedError)
        self.log.warning("account held", user=one.user, why=one.why)
        return True
