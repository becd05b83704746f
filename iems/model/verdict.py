"""The outcome for ONE recipient: the action, and the findings and layers that led to it."""

from __future__ import annotations

from dataclasses import dataclass

from iems.model.address import Address
from iems.model.policy import Action, Decision


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to the message for `recipient`, decided for `subject` after aliases."""

    recipient: Address
    subject: str
    decision: Decision

    @property
    def action(self) -> Action:
        """The action of the decision."""
        return self.decision.action
