"""What is said of a message: how likely it is spam to this user, and what speaks for that."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Label(enum.Enum):
    """What a user says of a message."""

    HAM = "ham"
    SPAM = "spam"


class Verdict(enum.StrEnum):
    """What a classifier says of one."""

    HAM = "ham"
    UNSURE = "unsure"
    SPAM = "spam"
    UNTRAINED = "untrained"
    """Too little was trained to say anything."""


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a message is spam."""

    log_odds: float
    """Does not saturate: what is ranked by."""

    probability: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Evidence:
    """A word of a message, and what it added to the log-odds."""

    word: str
    pull: float
