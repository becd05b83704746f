"""What is changed in the copies of a message, and the copies that come of it.

A change is a value: recipients with equal ones share a copy, which is made once and lies in the
spool until the message is done. What cannot be changed as it should is told and not delivered:
`refused` for good, `unable` where another try may do better. A process changes one message at a
time, for that costs memory, but for small ones whose changes are quick: mail must not wait for an
archive in somebody else's. A larger one than is looked at is `refused`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from iems.codec.printable import printable
from iems.editing.assembly import Plan, build_edits
from iems.edits.edit import Edit
from iems.edits.strip import Removal, strip
from iems.model.envelope import INTERNET
from iems.model.policy import Reason
from iems.notices.removed import Removals
from iems.serve.deadline import Deadline
from iems.settings.attachments import MOST
from iems.settings.schema import Settings
from iems.store.spool import PIECE, Spool, Spooled, TooLargeError

SECONDS = 120.0
"""For all changes of one message; archives take most of it."""

LIGHT = 1 << 20
"""Bytes of a message that waits for no other."""

_turn = threading.Lock()


class Change(Protocol):
    """One change: hashable, and equal where it makes the same of the same bytes."""

    @property
    def slow(self) -> bool:
        """Whether it may take more time than it takes to read a message."""
        ...

    def of(self, data: bytes, deadline: Deadline) -> Edit:
        """What it makes of a message."""
        ...

    def told(self, edit: Edit) -> str:
        """What is told of that in the record, if anything."""
        ...


@dataclass(frozen=True, slots=True)
class Strip:
    """Attachments are taken out."""

    removal: Removal
    timeout: float
    slow: ClassVar[bool] = True

    def of(self, data: bytes, deadline: Deadline) -> Edit:
        """The message without them."""
        return strip(data, self.removal, deadline.sooner(self.timeout).at)

    def told(self, _edit: Edit) -> str:
        """Nothing: the decision says what is removed."""
        return ""


@dataclass(frozen=True, slots=True)
class Editor:
    """Which changes there are, by the settings of the site."""

    removals: Removals
    plan: Plan = field(default_factory=Plan)
    """What else is edited in mail from outside."""

    @classmethod
    def of(cls, settings: Settings) -> Editor:
        """That of a site; SettingsError where its rules or files cannot be used."""
        return cls(Removals.of(settings), build_edits(settings).of(INTERNET))

    def changes(
        self, removals: Iterable[Reason], language: str, release: str
    ) -> tuple[Change, ...]:
        """The changes that these reasons ask for; KeyError for a rule that is none of ours.

        `release` is the name by which the message would be kept as it was.
        """
        checks = _names(removals)
        if not checks:
            return ()
        kept = release if self.removals.keeps(checks) else ""
        return (Strip(self.removals.removal(checks, language, kept), self.removals.timeout),)

    def keeps(self, removals: Iterable[Reason]) -> bool:
        """Whether the message is kept as it was, if anything is taken out."""
        return self.removals.keeps(_names(removals))


def _names(removals: Iterable[Reason]) -> frozenset[str]:
    return frozenset(one.finding.check for one in removals)


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it: another message, or none where nothing was to change."""

    message: Spooled | None = None
    refused: str = ""
    unable: str = ""
    notes: tuple[str, ...] = ()


class Copies:
    """Those of one message; leaving the `with` block frees what they hold."""

    def __init__(self, spool: Spool, message: Spooled, deadline: Deadline) -> None:
        self._spool = spool
        self._message = message
        self._deadline = deadline.sooner(SECONDS)
        self._made: dict[tuple[Change, ...], Made] = {(): Made()}
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Copies:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def made(self, changes: tuple[Change, ...]) -> Made:
        """What comes of these changes, one after the other."""
        if changes not in self._made:
            self._made[changes] = self._make(changes)
        return self._made[changes]

    def _make(self, changes: tuple[Change, ...]) -> Made:
        if self._message.size > MOST:
            return Made(refused=f"it has more than {MOST} bytes")
        if self._deadline.expired:
            return Made(unable="there was no time for it")
        waits = self._message.size > LIGHT or any(one.slow for one in changes)
        if waits and not _turn.acquire(timeout=self._deadline.remaining()):
            return Made(unable="other messages take too long")
        try:
            return self._edited(changes)
        except TooLargeError as error:
            return Made(refused=str(error))
        except OSError as error:
            return Made(unable=printable(str(error)))
        finally:
            if waits:
                _turn.release()

    def _edited(self, changes: tuple[Change, ...]) -> Made:
        data, changed = b"".join((self._message.header, *self._message.body.pieces())), False
        notes: list[str] = []
        for one in changes:
            edit = one.of(data, self._deadline)
            if edit.rejected:
                return Made(refused=edit.reason)
            if edit.late:
                return Made(unable="there was no time for it")
            data, changed = edit.of(data), changed or bool(edit.splices)
            notes += filter(None, [one.told(edit)])
        told = tuple(notes)
        if not changed:
            return Made(notes=told)
        incoming = self._open.enter_context(self._spool.receive(len(data)))
        for at in range(0, len(data), PIECE):
            incoming.write(data[at : at + PIECE])
        return Made(incoming.finish(), notes=told)
