"""The message as it was, kept in quarantine for those who get it without some of its parts.

It is there before any copy goes out, under the name that the notices in them tell. Who has not got
his copy has nothing there: the sender has the message still, and with every new try there would be
more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from iems.codec.printable import printable
from iems.serve.log import Log
from iems.store.quarantine import Quarantine, new_name
from lmtp.account import Account
from lmtp.outcome import Outcome


@dataclass(frozen=True)
class Originals:
    """Of one message; `name` is its id where it is kept."""

    quarantine: Quarantine
    log: Log
    name: str = field(default_factory=new_name)

    def put(
        self, pieces: Iterable[bytes], account: Account, outcomes: Sequence[Outcome], now: float
    ) -> bool:
        """Whether it is on disk for these recipients, past what removes parts and nothing else."""
        removed = [
            replace(one, decision=replace(one.decision, reasons=one.decision.removals))
            for one in outcomes
        ]
        told = {**account.description(removed, now), "original": True}
        try:
            self.quarantine.put(pieces, told, self.name)
        except OSError as error:
            self.log.warning("quarantine is not available", error=printable(str(error)))
            return False
        return True

    def forget(self, addresses: Collection[str]) -> None:
        """Keep it no longer for these."""
        try:
            with self.quarantine.claimed(self.name):
                self.quarantine.drop(self.name, addresses)
        except (OSError, ValueError) as error:
            why = printable(str(error))
            self.log.warning("left in quarantine", id=self.name, error=why)
