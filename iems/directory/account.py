"""Mailboxes that take no mail, or not this message again: why, and the decision that follows.

Pure. It is no check that anybody may choose about: milter and agent ask here before they ask the
policy, and carry the decision out as they do every other one.
"""

from __future__ import annotations

from iems.codec.printable import printable
from iems.directory.reader import User
from iems.model.finding import Finding
from iems.model.policy import Decision, refused_by
from iems.settings.bayes import OFF, ON, SHADOW

CHECK = "account"
CLOSED, UNKNOWN, UNREADABLE, LOOP = "closed", "unknown", "unreadable", "loop"
ENHANCED = {CLOSED: "5.2.1", UNKNOWN: "5.1.1", LOOP: "5.4.6"}
"""Enhanced codes of RFC 3463 for these bands."""

SEND_ONLY, RECEIVE_ONLY = "send-only", "receive-only"
KINDS = (SEND_ONLY, RECEIVE_ONLY)

POP3 = "pop3"
"""How a user reads who never sees another folder than INBOX."""

BAYES = (ON, OFF, SHADOW)
"""What a user may have of his own filter: it decides, is not there, or is told of alone."""

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
    return _refused(CLOSED, user.refusal) if user else unknown()


def unknown() -> Decision:
    """The refusal of mail to nobody."""
    return _refused(UNKNOWN, "no such user")


def looped() -> Decision:
    """The refusal of a message that this mailbox has had before."""
    return _refused(LOOP, "mail loop, this address has had the message before")


def unreadable() -> Decision:
    """The refusal of an address that nobody can read: whose it is, is not known."""
    return _refused(UNREADABLE, "this address cannot be read")


def _refused(band: str, reason: str) -> Decision:
    return refused_by(Finding(CHECK, "fail", band, reason))
