"""What one check saw. A finding observes and never decides.

`band` is what policy is keyed by: each check names its own, and every check has `temperror`.
A finding without a band (`""`) asks for nothing: it is kept to be read and to be explained.
"""

from __future__ import annotations

from dataclasses import dataclass

TEMPERROR = "temperror"
"""The band of a check that could not find out (RFC 8601 section 2.7.1)."""

MATCHED = "matched"
"""The band of a rule about header fields or attachments that fits."""

ATTACHMENT = "attachment"
"""The family of checks that look for files."""

VIRUS = "virus"
"""The check whose findings are never forgotten: about them nobody below the site chooses."""

BAYES = "bayes"
"""The check that the agent makes for each recipient, by what he has trained."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation of one check.

    `check` is its name (`dnsbl/spamhaus`), `outcome` a word of RFC 8601 (`pass`, `fail`,
    `temperror`, ...) or of the check's page, `reason` a sentence for people, `evidence` pairs for
    programs. All texts are printable ASCII: whoever makes a finding out of text from outside
    reduces it first (`iems.codec.printable`). The words of a message that `bayes` names are
    printable in whatever script, for its findings stand in records alone.
    """

    check: str
    outcome: str
    band: str = ""
    reason: str = ""
    score: float | None = None
    evidence: tuple[tuple[str, str], ...] = ()

    @property
    def own(self) -> bool:
        """Whether a rule of a domain or list found it (`header/OWNER/NAME`), and no check."""
        return self.check.count("/") > 1

    @property
    def counted(self) -> str:
        """What it is counted as: of who may make rules there are any number."""
        return f"{self.check.partition('/')[0]}/*" if self.own else self.check
