"""Which edits of the settings are for the copies of mail from outside: texts, for each recipient.

The milter has recorded before what it found of signatures, so that a text breaks none that counts;
what an alias leads out of this host has left before. What cannot be edited goes on as it is.
DirectoryUnavailable is for the caller.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

from iems.directory.person import NOBODY
from iems.directory.reader import Directory
from iems.editing.assembly import Due, Plan
from iems.editing.choice import Facts, answers, author, members
from iems.edits.edit import Edit
from iems.model.message import HeaderBlock
from iems.serve.deadline import Deadline
from lmtp.subjects import Target


@dataclass(frozen=True, slots=True)
class Put:
    """A change in a copy: an edit of the settings, for one person."""

    due: Due
    slow: ClassVar[bool] = False

    def of(self, data: bytes, _deadline: Deadline) -> Edit:
        """What it makes of a message."""
        return self.due.prepared.edit(data)

    def told(self, edit: Edit) -> str:
        """What is told of that."""
        return self.due.told(edit)


class Texts:
    """Of one transaction; header and size are as the milter let it in."""

    def __init__(
        self,
        plan: Plan,
        channel: str,
        header: HeaderBlock,
        size: int,
        directory: Directory,
        deadline: Deadline,
    ) -> None:
        self._plan = plan.of(channel)
        self._channel = channel
        self._header = header
        self._size = size
        found = functools.partial(members, directory, deadline=deadline)
        self._members = functools.cache(found)

    def of(self, target: Target) -> tuple[tuple[Put, ...], tuple[str, ...]]:
        """Those for this recipient, in their order; and what is told of those left out."""
        if not self._plan.edits or target.person is NOBODY:
            return (), ()
        facts = Facts(
            channel=self._channel,
            outside=False,
            author=author(self._header),
            login=None,
            recipients=(target.address,) if target.address else (),
            answers=answers(self._header),
        )
        due = [one.of(target.person) for one in self._plan.due(facts, self._members)]
        over = [(one, one.excess(self._size)) for one in due]
        notes = (one.told(Edit(reason=excess)) for one, excess in over if excess)
        return tuple(Put(one) for one, excess in over if not excess), tuple(notes)
