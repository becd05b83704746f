"""One mail transaction as the server hands it to the agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from iems.store.spool import Spooled
from lmtp.commands import Mail, Recipient
from lmtp.reply import Reply


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
