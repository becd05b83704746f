"""Accounts that take no mail: why, and the decision that follows for whoever writes to them.

Pure. It is no check that anybody may choose about: milter and agent ask here before they ask the
policy, and carry the decision out as they do every other one.
"""

from __future__ import annotations

from iems.codec.printable import printable
from iems.directory.reader import User
from iems.model.finding import Finding
from iems.model.policy import SITE, Action, Decision, Reason

CHECK = "account"
CLOSED, UNKNOWN = "closed", "unknown"

SEND_ONLY, RECEIVE_ONLY = "send-only", "receive-only"
KINDS = (SEND_ONLY, RECEIVE_ONLY)

_REASON = 200
"""Characters of a reason: it stands in a reply line, with address, help and reference."""


def reason(text: str) -> str:
    """Why an account is disabled; ValueError where it fits no reply line, empty where it is not."""
    if printable(text, _REASON) != text:
        raise ValueError(f"expected at most {_REASON} printable ASCII characters as reason")
    return text


def refusal(disabled: str, kind: str) -> str:
    """Why mail to such an account is refused; empty where it is taken."""
    if disabled:
        return f"this account is disabled: {printable(disabled, _REASON)}"
    if kind == SEND_ONLY:
        return "this account sends mail and receives none"
    return ""


def closed(user: User | None) -> Decision | None:
    """The refusal of mail to this mailbox, to none with None; None where mail is taken."""
    if user is not None and not user.refusal:
        return None
    band, reason = (CLOSED, user.refusal) if user else (UNKNOWN, "no such user")
    finding = Finding(CHECK, "fail", band, reason)
    return Decision(Action.REJECT, (Reason(finding, Action.REJECT, SITE, enforced=True),))
