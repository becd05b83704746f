"""What a site has decided that its users' scripts depend on."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class AfterQueue(enum.Enum):
    """What becomes of mail that is refused when it is accepted already."""

    JUNK = "junk"
    BOUNCE = "bounce"


@dataclass(frozen=True, slots=True)
class Site:
    """Folders have `/` between their levels, `separator` on the server; `addresses` are the user's.

    `rcpt` says that a sender can be refused at RCPT for this user. The last three are the fields in
    which the agent writes what Sieve cannot know: `X-IEMS-Verdict: junk; ref=...`,
    `X-IEMS-Score: 93`, a percentage, and one `X-IEMS-Fact: dnsbl/zen=listed` for each fact.
    """

    junk: str = "Junk"
    trash: str = "Trash"
    separator: str = "/"
    reject_after_queue: AfterQueue = AfterQueue.JUNK
    rcpt: bool = True
    addresses: tuple[str, ...] = ()
    verdict: str = "X-IEMS-Verdict"
    score: str = "X-IEMS-Score"
    fact: str = "X-IEMS-Fact"
