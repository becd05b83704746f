"""Notices to postmaster that a server does not answer, or as `notice` says what else is wrong.

A server that is silent at two looks in a row is told of, all of a look in one notice, and of one
server at most one a day goes, over restarts too: the times stand in a file. A notice that cannot be
sent is owed and tried again after the next look, also when the server answers again: without a
directory Postfix takes no mail.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from iems.notices.postmaster import NoticeError, Notifier, Reporter

NOTICE = "servers-silent"
TIMEOUT = 4.0
"""Seconds that the mail server may be silent: with a look at three servers that hang, 5 s each, the
job still ends before it counts as hung (`iems.serve.jobs`)."""

DAY = 86400.0
_LOOKS = 2
"""A restart of a server is over by the second."""

_VERSION = 1


class Outages:
    """Those of one daemon and one kind; `file` is their own."""

    def __init__(
        self,
        file: Path,
        notifier: Notifier,
        log: Reporter,
        clock: Callable[[], float] = time.time,
        *,
        notice: str = NOTICE,
    ) -> None:
        self._file = file
        self._notice_name = notice
        self._notifier = notifier
        self._log = log
        self._clock = clock
        self._silent: dict[str, int] = {}
        self._noticed, self._owed = _read(file)

    def seen(self, wrong: Mapping[str, str]) -> None:
        """After each look: why each server does not answer, empty where it does."""
        now = self._clock()
        for name, why in wrong.items():
            self._silent[name] = self._silent.get(name, 0) + 1 if why else 0
            # The clock may have been set back since.
            told = abs(now - self._noticed.get(name, -DAY)) < DAY
            if self._silent[name] >= _LOOKS and not told and name not in self._owed:
                self._owed[name] = why
                self._write()
        if self._owed:
            self._notice(now)

    def _notice(self, now: float) -> None:
        lines = [f"  {name}: {why}" for name, why in sorted(self._owed.items())]
        try:
            self._notifier.notify(self._notice_name, servers="\n".join(lines))
        except NoticeError as error:
            self._log.warning(
                "notice to postmaster not sent", notice=self._notice_name, error=str(error)
            )
            return
        self._noticed |= dict.fromkeys(self._owed, now)
        self._owed.clear()
        self._write()

    def _write(self) -> None:
        document = {"version": _VERSION, "noticed": self._noticed, "owed": self._owed}
        draft = self._file.with_name(self._file.name + ".new")
        draft.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        draft.replace(self._file)


def _read(file: Path) -> tuple[dict[str, float], dict[str, str]]:
    """When each was told of, and what is owed; nothing where there is no file that can be read."""
    try:
        document: Any = json.loads(file.read_text())
        if document["version"] != _VERSION:
            return {}, {}
        noticed = {str(name): float(told) for name, told in document["noticed"].items()}
        return noticed, {str(name): str(why) for name, why in document["owed"].items()}
    except (OSError, ValueError, ArithmeticError, TypeError, LookupError, AttributeError):
        return {}, {}
    except RecursionError:
        return {}, {}
