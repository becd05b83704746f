"""What the chain answers the MTA: replies that end a stage, and edits of the message.

Both are closed unions of small values; only the adapter knows how they go over the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Continue:
    """Nothing to say: the MTA goes on."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A permanent refusal (RFC 5321 section 4.2, RFC 3463): `550`, `5.7.1`, text."""

    code: int
    enhanced: str
    text: str


@dataclass(frozen=True, slots=True)
class TempFail:
    """A temporary refusal: `451`, `4.3.0`, text."""

    code: int
    enhanced: str
    text: str


Reply: TypeAlias = Continue | Reject | TempFail


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """A new field at `index`, counted among the fields as delivered; 0 is the top."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """The field of this name and occurrence (1 is the first received) changed, or deleted (None)."""

    name: bytes
    occurrence: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """A recipient taken off, as the client wrote it."""

    address: str


Edit: TypeAlias = InsertHeader | ChangeHeader | DeleteRecipient
