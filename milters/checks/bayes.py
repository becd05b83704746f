"""`bayes`: does the recipient's own filter, which he has trained, take the message for spam?

The agent asks, for each recipient when it delivers (`lmtp.judging`): what one has trained says
nothing about the mail of another. Here stands what the settings may hold, and no check is made.
"""

from __future__ import annotations

from iems.model.finding import BAYES
from iems.settings.judging import JudgingSettings as Settings
from iems.settings.judging import parse
from milters.checks.protocol import Check, Tools

__all__ = ["NAME", "Settings", "make", "parse"]

NAME = BAYES


def make(_name: str, _settings: Settings, _tools: Tools) -> tuple[Check, ...]:
    """None: before the queue there is nothing to ask."""
    return ()
