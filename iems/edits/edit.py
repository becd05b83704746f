"""What an edit makes of a message: its splices, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass

from iems.mime.splice import Splice, apply


class EditError(ValueError):
    """Why a message cannot be edited, for people: it is left as it is."""


class EditUnavailable(Exception):  # noqa: N818 - that of who edits
    """Why an edit cannot be made now, for people: the message waits. `edit` is its name."""

    def __init__(self, edit: str, why: str) -> None:
        super().__init__(f"{edit}: {why}")
        self.edit = edit
        self.why = why


@dataclass(frozen=True, slots=True)
class Edit:
    """Splices against the message that was given; none where it stays as it is."""

    splices: tuple[Splice, ...] = ()
    reason: str = ""
    """Why nothing was done, for people; empty where it was done, or had been done before."""

    rejected: bool = False
    """Whether the message is to be rejected, for `reason`."""

    late: bool = False
    """Whether there was no time for all of it, so that more might be to do."""

    def of(self, data: bytes) -> bytes:
        """The message with the edit."""
        return apply(data, self.splices)
