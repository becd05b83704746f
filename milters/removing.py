"""Attachments taken out of mail that leaves this host, for all of its recipients.

Nothing is kept: the sender has the message. What cannot be taken out does not leave: it is refused
while the sender waits, and held in the queue where nobody does. Where a recipient is a mailbox of
ours, the agent finds nothing left of it. A process takes one message apart at a time.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from iems.edits.edit import EditError
from iems.edits.strip import strip
from iems.model.policy import Reason
from iems.notices.removed import Removals
from milters.checks.attachment import turn
from milters.draft import Draft
from milters.reply import Hold


@dataclass(frozen=True, slots=True)
class Removed:
    """The message as it is now, and what is told of it.

    Where something cannot be taken out `refused` says why, or `unable` if another try may do
    better; `check` is by which rule it should.
    """

    draft: Draft
    notes: tuple[str, ...] = ()
    check: str = ""
    refused: str = ""
    unable: str = ""

    @property
    def holds(self) -> tuple[Hold, ...]:
        """The edit that keeps a message in the queue, where it must not leave."""
        why = self.refused or self.unable
        return (Hold(f"{self.check} cannot be taken out: {why}"),) if why else ()


def removed(draft: Draft, removals: Removals, reasons: Collection[Reason]) -> Removed:
    """The draft without what these reasons are about; OSError where it cannot be read."""
    if not reasons:
        return Removed(draft)
    checks = sorted({one.finding.check for one in reasons})
    names = ", ".join(checks)
    until = time.monotonic() + removals.timeout
    if not turn.acquire(timeout=removals.timeout):
        return Removed(draft, check=names, unable="other messages take too long")
    try:
        edit = strip(draft.data, removals.removal(checks), until)
        if edit.rejected:
            return Removed(draft, check=names, refused=edit.reason)
        if edit.late:
            return Removed(draft, check=names, unable="there was no time for it")
        after = draft.edited(edit)
    except EditError as error:
        return Removed(draft, check=names, refused=str(error))
    finally:
        turn.release()
    return Removed(after, (f"taken out: {names}",) if edit.splices else ())
