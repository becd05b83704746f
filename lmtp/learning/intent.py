"""What a user says of a message by what he did with it, in any IMAP program.

The script of Dovecot (`templates/dovecot/sieve/learn.sieve`) tells what was done and what the
folders are for, by their special use (RFC 6154) and not by their names: `junk`, `trash`, `spam` and
`ham` (the two below Train), `other`. What it does not ask about says nothing.

- Moved or copied into Junk or Train/Spam it is spam; out of them, and not into Trash, or into
  Train/Ham it is ham.
- Out of Trash it is ham if it was spam before: one who looks for lost mail takes it out of there.
- Appended to Junk it is spam if it was delivered here, for whole mailboxes are imported so;
  appended to Train/Spam or Train/Ham it is what the folder says.
- A junk flag or a not-junk flag that was set says it wherever the message is.
- Answered it is ham, where the site wants that, and unless its user has said what it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from lmtp.bayes.score import Label
from lmtp.learning.protocol import Request

JUNK, TRASH, SPAM, HAM, OTHER = "junk", "trash", "spam", "ham", "other"
"""What folders are for."""

_SPAM = frozenset({JUNK, SPAM})


class Provided(enum.Enum):
    """What must be so besides."""

    NOTHING = "nothing"
    DELIVERED = "a message with this Message-ID was delivered here"
    WAS_SPAM = "it was trained as spam, or filed as junk"
    UNSAID = "nobody has said what it is"


@dataclass(frozen=True, slots=True)
class Intent:
    """The message is this, provided that."""

    label: Label
    provided: Provided = Provided.NOTHING


def of_move(request: Request) -> Intent | None:
    """`move`: what a COPY or MOVE says; `from` and `to` are what the folders are for."""
    source, target = request.options.get("from", OTHER), request.options.get("to", OTHER)
    if target == TRASH or source == target:
        return None
    if target in _SPAM:
        return Intent(Label.SPAM)
    if target == HAM or source in _SPAM:
        return Intent(Label.HAM)
    return Intent(Label.HAM, Provided.WAS_SPAM) if source == TRASH else None


def of_append(request: Request) -> Intent | None:
    """`append`: what an APPEND to the folder `to` says."""
    match request.options.get("to", OTHER):
        case "spam":
            return Intent(Label.SPAM)
        case "ham":
            return Intent(Label.HAM)
        case "junk":
            return Intent(Label.SPAM, Provided.DELIVERED)
        case _:
            return None


def of_reply() -> Intent:
    """`reply`: what an answer to it says."""
    return Intent(Label.HAM, Provided.UNSAID)


def of_label(request: Request) -> Intent | None:
    """`flag` and `train`: what `label` says."""
    try:
        return Intent(Label(request.options.get("label", "")))
    except ValueError:
        return None
