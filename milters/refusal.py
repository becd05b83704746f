"""The text of a refusal: who is refused and why, where help is, and the reference to ask about."""

from __future__ import annotations

from iems.codec.printable import LIMIT, printable
from iems.directory.account import CHECK, ENHANCED
from iems.model.address import Address
from iems.model.policy import Decision
from milters.reply import Reject, TempFail


def refusal(
    address: Address | None, decision: Decision, contact: str, reference: str, *, rejected: bool
) -> Reject | TempFail:
    """The reply for a decision to reject, else to defer; a check's own contact comes first.

    However long address and reason are, contact and reference are there whole.
    """
    decisive = decision.decisive
    evidence = dict(decisive.finding.evidence) if decisive else {}
    reason = decisive.finding.reason if decisive else "refused by policy"
    whom = f"<{address}>: " if address else ""
    help_at = printable(f"; help: {evidence.get('contact', contact)}", LIMIT // 2 + 10)
    end = f"{help_at}; reference {reference}"
    text = printable(f"{whom}{reason}", LIMIT - len(end)) + end
    if not rejected:
        return TempFail(450, "4.7.1", text)
    account = decisive.finding.band if decisive and decisive.finding.check == CHECK else ""
    return Reject(550, ENHANCED.get(account, "5.7.1"), text)


def line(reply: Reject | TempFail) -> str:
    """The reply as SMTP shows it."""
    return f"{reply.code} {reply.enhanced} {reply.text}"
