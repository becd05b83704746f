"""Notices that a password will end, by mail to its owner: a job of the jobs process.

A notice goes at each of some days before the end, the latest one that is due, so a server that was
down for a week sends one and not three; never twice the same, and at most one a day, over restarts
too (`iems.store.told`). Where an account takes no mail, the postmaster of its domain is told.

A directory or mail server that does not answer ends a run, and the next one takes up what is left.
A notice that the mail server refuses for good is not tried again; the next one before the end is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iems.directory.passwords import Ending, Scanner, endings
from iems.directory.reader import DirectoryUnavailable
from iems.model.address import Address
from iems.notices.postmaster import NoticeError, NoticeRefusedError, Writer
from iems.serve.deadline import Deadline
from iems.store.told import DAY, Told

NOTICE = "password-ends"
INTERVAL = 600.0
"""Seconds between two runs."""

MOST = 1000
"""Notices of one run: 100,000 passwords that end on one day are told of within 17 hours, and a
burst is gone from the queue long before the next."""

_ROUND = 120.0
"""Seconds after which a run begins no other notice, so that one to a slow server ends in time."""

_FAILURES = 10
"""Notices in a row that could not be sent: then it is the mail server."""


class Reporter(Protocol):
    """Who writes the log."""

    def info(self, text: str, **fields: object) -> None:
        """One line."""
        ...

    def warning(self, text: str, **fields: object) -> None:
        """One line."""
        ...


@dataclass(frozen=True)
class PasswordNotices:
    """The job; `days` before the end at which a notice goes, `how` a password is changed."""

    store: Scanner
    file: Path
    days: Sequence[int]
    how: str
    notifier: Writer
    log: Reporter
    clock: Callable[[], float] = time.time

    def run(self, deadline: Deadline) -> None:
        """Send what is due; ToldError where nobody can know what was sent."""
        if not self.days:
            return
        sent = failures = 0
        with closing(Told(self.file)) as told:
            told.forget(self.clock() - DAY)
            try:
                for one in self._due(told, deadline):
                    done = self._send(one, told)
                    sent, failures = sent + done, 0 if done else failures + 1
                    if failures == _FAILURES:
                        break
            except DirectoryUnavailable as error:
                self.log.warning("notices wait for the directory", notice=NOTICE, error=str(error))
        if sent:
            self.log.info("notices sent", notice=NOTICE, sent=sent)

    def _due(self, told: Told, deadline: Deadline) -> Iterator[Ending]:
        """Those who are to be told, each written down as told."""
        now, found = self.clock(), 0
        end = deadline.sooner(_ROUND)
        within = max(self.days) * DAY
        for one in endings(self.store, now, within, self._note, deadline):
            days = min(day for day in self.days if one.ends - now <= day * DAY)
            if end.expired or found >= MOST:
                return
            if told.claim(one.address.key, one.ends, days, now):
                found += 1
                yield one

    def _send(self, one: Ending, told: Told) -> bool:
        to = one.address if one.takes_mail else Address("postmaster", one.address.domain)
        ends = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.ends))
        try:
            self.notifier.write(to, NOTICE, address=str(one.address), ends=ends, help=self.how)
        except NoticeError as error:
            if not isinstance(error, NoticeRefusedError):
                told.release(one.address.key)
            self.log.warning("notice not sent", notice=NOTICE, to=to, error=str(error))
            return False
        return True

    def _note(self, note: str) -> None:
        self.log.warning("directory entry", note=note)
