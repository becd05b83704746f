"""One mail transaction as the server hands it to the agent, and who takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from iems.codec.header import unfold
from iems.store.spool import Spooled
from lmtp import headers
from lmtp.commands import Mail, Recipient
from lmtp.reply import Reply

_BULK = frozenset({b"auto_reply", b"bulk", b"junk", b"list"})


@dataclass(frozen=True, slots=True)
class Transaction:
    """Envelope and message; `forward` holds what XFORWARD said of it."""

    mail: Mail
    recipients: tuple[Recipient, ...]
    forward: Mapping[str, str]
    message: Spooled


class Deliver(Protocol):
    """Who takes a transaction."""

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """One reply for each recipient, in their order."""
        ...


def shared_out(
    transaction: Transaction,
    answers: Sequence[Callable[[], Reply] | None],
    rest: Deliver,
) -> Sequence[Reply]:
    """One reply for each recipient: the answer to those who have one, after `rest` has taken the
    transaction with the others.
    """
    others = tuple(
        one for one, own in zip(transaction.recipients, answers, strict=True) if own is None
    )
    replies = iter(rest.deliver(replace(transaction, recipients=others)) if others else ())
    return [next(replies) if own is None else own() for own in answers]


def automatic(transaction: Transaction) -> bool:
    """Whether a program wrote it (RFC 3834), as far as it says so."""
    block = headers.read(transaction.message.header)
    submitted = [unfold(field.value) for field in block.named(b"Auto-Submitted")]
    precedence = [unfold(field.value) for field in block.named(b"Precedence")]
    return (
        not transaction.mail.sender
        or any(one.partition(b";")[0].strip().lower() != b"no" for one in submitted)
        or any(one.strip().lower() in _BULK for one in precedence)
    )
