"""What the agent says where it refuses a message for a recipient: 550, and why if it may say so."""

from __future__ import annotations

from iems.codec.printable import printable
from iems.directory.account import ENHANCED
from iems.model.senders import MAX_TOLD
from lmtp.outcome import Outcome
from lmtp.reply import Reply, reply

_REASON = 300


def refusal(one: Outcome, reference: str, contact: str) -> Reply:
    """Of a mailbox that takes no mail, or not this again, the reason; the text of a user's rule.

    Of all else that was found nothing is told but where help is.
    """
    if one.target.closed is not None:
        [closed] = one.target.closed.reasons
        why = printable(closed.finding.reason, _REASON)
        return reply(550, ENHANCED[closed.finding.band], f"{why}; ref={reference}")
    reason = one.decision.decisive
    ruled = reason.ruling.entry.told if reason is not None and reason.ruling is not None else ""
    text = printable(ruled, MAX_TOLD) or "Refused by policy"
    return reply(550, "5.7.1", f"{text}; ref={reference}; {contact}")
