"""What is changed in a message that is let in: forged fields go, our own are put at the top.

X-IEMS-Findings, X-IEMS-Verdict and the like are ours alone, and so is an Authentication-Results
under our authserv-id (RFC 8601 section 5): whoever sends them in, they are forged. Nothing else is
touched.
What cannot be refused and must not leave, since no agent will see it, is put on hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from iems.codec import authres, findings, trace
from iems.directory.resolve import Destination
from iems.model.envelope import INTERNET, LOCAL
from iems.model.finding import Finding
from iems.model.message import Field, HeaderBlock
from iems.model.policy import Action, Decision, Reason
from iems.settings.policy import LOOKED_AT
from iems.store.keys import Key
from milters.reply import Edit, Hold, InsertHeader

BOUNCE = b"X-IEMS-Bounce"
"""What Postfix knows a bounce of spam by, to send it another way (milter_header_checks)."""

_AGENT = {b"x-iems-verdict", b"x-iems-fact", b"x-iems-score"}
"""What the agent alone writes, for the scripts of a recipient."""

OURS = frozenset({b"x-iems-findings", *_AGENT, trace.NAME.lower(), BOUNCE.lower()})
"""Header fields of ours, in lower case."""

_RESULTS = authres.NAME.lower()


def forged(header: HeaderBlock, hostname: str) -> tuple[Field, ...]:
    """The fields that are ours alone."""
    return tuple(
        one
        for one in header.fields
        if one.key in OURS or (one.key == _RESULTS and authres.claims(one.value, hostname))
    )


def insertions(
    passed: findings.Passed,
    told: Iterable[Finding],
    key: Key,
    hostname: str,
    *,
    spam: bool = False,
) -> tuple[Edit, ...]:
    """The findings for the agent, and for mail from outside the results for everybody to read.

    Those are `told`. A bounce of `spam` is marked as one.
    """
    value = findings.encode(passed, key.id, key.secret)
    first = InsertHeader(0, findings.NAME, value)
    if spam:
        return first, InsertHeader(0, BOUNCE, b"spam")
    if passed.channel != INTERNET:
        return (first,)
    results = authres.authentication_results(hostname, tuple(told))
    return first, InsertHeader(0, authres.NAME, results)


def leaving(
    decisions: Sequence[tuple[Destination, Decision]],
) -> list[tuple[Destination, Decision]]:
    """Those about mail that leaves this host, where a virus or an attachment keeps it here, or that
    nobody looked.

    Of nobody else's choice is it made sure that it stops a message for others, too: what else was
    decided is left out.
    """
    found = (
        (one, decision, tuple(filter(_stops, decision.reasons)))
        for one, decision in decisions
        if one.channel != LOCAL
    )
    return [
        (one, replace(decision, action=max(why.action for why in stopping), reasons=stopping))
        for one, decision, stopping in found
        if stopping
    ]


def holds(decisions: Sequence[tuple[Destination, Decision]]) -> tuple[Hold, ...]:
    """The edit that keeps a message in the queue, where any of these decisions stops it."""
    reasons = (reason for _one, decision in decisions for reason in decision.reasons)
    stopping = next(filter(_stops, reasons), None)
    if stopping is None:
        return ()
    found = stopping.finding
    return (Hold(f"{found.check} {found.band} is {stopping.action.word}: {found.reason}"),)


def _stops(reason: Reason) -> bool:
    family = reason.finding.check.partition("/")[0]
    return family in LOOKED_AT and reason.action >= Action.DEFER
