"""A message in the MTA, and what a filter's edits make of it, by Postfix's rules.

- An insertion counts fields as they will be delivered, Postfix's own Received included: index 0
  stands above it.
- A change or deletion counts fields of its name as they were received, without Postfix's own
  Received; one that does not exist is added at the end, a deletion of it is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Insert:
    """A new field at this place, counted from 0."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True)
class Add:
    """A new field at the end of the header."""

    name: bytes
    value: bytes


@dataclass(frozen=True)
class Change:
    """Another value for a field, counted from 1 among those of its name; None deletes it."""

    name: bytes
    occurrence: int
    value: bytes | None


@dataclass(frozen=True)
class AddRecipient:
    """One recipient more."""

    address: str


@dataclass(frozen=True)
class DeleteRecipient:
    """One recipient less, written as it was received."""

    address: str


@dataclass(frozen=True)
class ChangeSender:
    """Another envelope sender."""

    address: str


@dataclass(frozen=True)
class ReplaceBody:
    """Another body; several follow one another."""

    body: bytes


@dataclass(frozen=True)
class Quarantine:
    """The message is held in the queue."""

    reason: str


Edit: TypeAlias = (
    Insert | Add | Change | AddRecipient | DeleteRecipient | ChangeSender | ReplaceBody | Quarantine
)


@dataclass
class HeaderField:
    """One field; `own` is Postfix's Received of this very message."""

    name: bytes
    value: bytes
    own: bool = False

    @property
    def raw(self) -> bytes:
        """The field as it is delivered, without its line end."""
        return self.name + b":" + self.value


@dataclass
class Message:
    """One transaction's message; values carry the blank behind the colon, folds a line feed."""

    sender: str
    recipients: list[str] = field(default_factory=list)
    header: list[HeaderField] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    held: str = ""
    ended: bool = False
    """Whether the empty line was seen."""

    def received(self, trace: bytes) -> None:
        """Put the MTA's own Received on top."""
        self.header.insert(0, HeaderField(b"Received", b" " + trace, own=True))

    def apply(self, edits: tuple[Edit, ...]) -> None:
        """Apply edits in order."""
        replaced = [edit.body for edit in edits if isinstance(edit, ReplaceBody)]
        if replaced:
            self.body = [b"".join(replaced)]
        for edit in edits:
            self._apply(edit)

    def _apply(self, edit: Edit) -> None:
        match edit:
            case Insert(index, name, value):
                self.header.insert(index, HeaderField(name, value))
            case Add(name, value):
                self.header.append(HeaderField(name, value))
            case Change(name, occurrence, value):
                self._change(name, occurrence, value)
            case AddRecipient(address):
                self.recipients.append(address.strip("<>"))
            case DeleteRecipient(address):
                self.recipients = [one for one in self.recipients if one != address.strip("<>")]
            case ChangeSender(address):
                self.sender = address.strip("<>")
            case Quarantine(reason):
                self.held = reason
            case ReplaceBody():
                return

    def _change(self, name: bytes, occurrence: int, value: bytes | None) -> None:
        # Postfix finds a field whether blanks stand before its colon or not.
        key = name.strip().lower()
        named = [
            at
            for at, one in enumerate(self.header)
            if not one.own and one.name.strip().lower() == key
        ]
        place = named[occurrence - 1] if 0 < occurrence <= len(named) else None
        if place is None and value is not None:
            self.header.append(HeaderField(name, value))
        elif place is not None and value is None:
            del self.header[place]
        elif place is not None and value is not None:
            self.header[place] = HeaderField(name, value)
