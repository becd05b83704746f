"""What a recipient's own Sieve script can ask for: what was found, as fields of his copy.

Pure. Each fact is a field of its own, so that a script compares whole values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from iems.model.finding import BAYES, Finding
from iems.model.senders import Facts, entry_for
from lmtp.outcome import Found
from lmtp.subjects import Target


def fact_fields(
    target: Target, came: Iterable[Finding], own: Found, sender: Facts, *, in_book: bool = False
) -> bytes:
    """One field for each band that was found, of `own` without what is in shadow.

    Whether his list of senders allows the sender is a fact, and whether the author stands in his
    address book; the probability that his filter gives for spam is told in whole percent, rounded
    down.
    """
    found = [*came, *(one for one in own.findings if one.check not in own.shadow)]
    facts = [f"{one.check}={one.band}" for one in found if one.band]
    entry = entry_for(target.layers[-1].senders, sender)
    facts += ["known=allow-list"] if entry and entry.allows else []
    facts += ["known=address-book"] if in_book else []
    lines = [f"X-IEMS-Fact: {fact}" for fact in dict.fromkeys(facts)]
    given = [dict(one.evidence).get("probability") for one in found if one.check == BAYES]
    lines += [f"X-IEMS-Score: {math.floor(float(one) * 100)}" for one in given if one]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
