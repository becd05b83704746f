"""DMARC policy records as values (RFC 9989 section 4.7, RFC 7489 section 6.3): text in, tags out.

Pure. What is unknown or cannot be read is passed over, as the RFC says; only a record whose policy
cannot be read, and that asks for no reports either, is `InvalidRecordError`. `pct` is heeded though
RFC 9989 has dropped it: who published it asked for less.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_LONGEST = 16_384
"""Characters that are read; records are below 500."""


class InvalidRecordError(ValueError):
    """The record has no policy that can be read; the message says which tag."""


class Policy(enum.IntEnum):
    """What a domain asks to be done with mail that fails; the strictest is the largest."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2

    @property
    def word(self) -> str:
        """`none`, `quarantine`, `reject`."""
        return self.name.lower()

    def eased(self) -> Policy:
        """One step less (RFC 7489 section 6.6.4, RFC 9989 section 4.7 at `t`)."""
        return Policy(max(self - 1, 0))


_POLICIES = {policy.word: policy for policy in Policy}


@dataclass(frozen=True, slots=True)
class Record:
    """`below` is for subdomains, `absent` for those that do not exist; None means as above it.

    `share` is `pct`, in percent. `psd` is `y`, `n` or `u`.
    """

    policy: Policy
    below: Policy | None = None
    absent: Policy | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    share: int = 100
    testing: bool = False
    psd: str = "u"

    def for_subdomain(self, *, exists: bool) -> Policy:
        """What is asked of mail of a subdomain without a record of its own."""
        wanted = self.below if exists or self.absent is None else self.absent
        return self.policy if wanted is None else wanted


def is_record(text: str) -> bool:
    """Whether a TXT record is one of DMARC: the version comes first, in capitals."""
    return _VERSION.match(text) is not None


def parse(text: str) -> Record:
    """The record of a text for which `is_record` is true."""
    tags: dict[str, str] = {}
    for part in text[:_LONGEST].split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t").lower(), value.strip(" \t").lower())
    policies = {name: _POLICIES.get(tags[name]) for name in ("p", "sp", "np") if name in tags}
    wrong = [name for name, policy in policies.items() if policy is None]
    if wrong and "mailto:" not in tags.get("rua", ""):
        raise InvalidRecordError(f"tag {wrong[0]} is no policy")
    if wrong:
        policies = {}
    share = tags.get("pct", "")
    return Record(
        policy=policies.get("p") or Policy.NONE,
        below=policies.get("sp"),
        absent=policies.get("np"),
        strict_dkim=tags.get("adkim") == "s",
        strict_spf=tags.get("aspf") == "s",
        share=int(share)
        if re.fullmatch(r"0*(?:100|[0-9]{1,2})", share) and len(share) < 9
        else 100,
        testing=tags.get("t") == "y",
        psd=tags["psd"] if tags.get("psd") in {"y", "n"} else "u",
    )
