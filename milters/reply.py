"""What the chain answers: replies to the MTA, and the edits at the end of a message.

Both are closed unions of values; the adapter turns them into calls of libmilter. Texts are
printable ASCII (`iems.codec.printable`); the adapter doubles `%` and copes with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Continue:
    """Nothing against it."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A permanent refusal: code 5yz, enhanced code (RFC 3463), text."""

    code: int
    enhanced: str
    text: str


@dataclass(frozen=True, slots=True)
class TempFail:
    """A temporary refusal: code 4yz, enhanced code (RFC 3463), text."""

    code: int
    enhanced: str
    text: str


Reply: TypeAlias = Continue | Reject | TempFail


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """A new field at `index`, counted from 0 in the message as it will be delivered."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """Another value for the field `name` number `occurrence` (from 1, as received).

    None deletes the field; of several deletions the last field goes first. One that is not there
    is added at the end.
    """

    name: bytes
    occurrence: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """The message no longer goes to `address`, written as it was received."""

    address: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The message is put on hold in the MTA's queue, for all whom it goes to."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """Another body: what stands behind the empty line."""

    content: bytes


Edit: TypeAlias = InsertHeader | ChangeHeader | DeleteRecipient | Hold | ReplaceBody
