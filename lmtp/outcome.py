"""What is done for one recipient: the policy's action, bounded by what is still possible here.

Pure. The message is queued already, so a rejection would make a bounce to whoever the sender claims
to be. It becomes what the site says (`reject_after_queue`), unless the sender is one of our own; of
what carries a virus it is quarantine. So is its removal, which is the milter's affair. A deferral
ends after 24 hours in quarantine, because Postfix would bounce the message in the end. A file that
is not taken gets into no folder either, so that its rejection is quarantine rather than junk.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from iems.model.envelope import LOCAL, SUBMISSION
from iems.model.finding import ATTACHMENT, Finding
from iems.model.policy import (
    BLOCKED,
    Action,
    Decision,
    Layer,
    Ruling,
    decide,
    rule,
    shadowing,
    through,
)
from iems.model.senders import Facts
from iems.settings.policy import MATRICES
from iems.settings.schema import Settings
from lmtp.editing import Change
from lmtp.provenance import Provenance
from lmtp.subjects import Target

DEFER_LIMIT = 24 * 3600
"""Seconds; well below `maximal_queue_lifetime` (5 days), after which Postfix bounces."""

LATE = "deferred for 24 hours"

_AFTER_QUEUE = {
    "junk": Action.JUNK,
    "quarantine": Action.QUARANTINE,
    "bounce": Action.REJECT,
}


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one recipient alone; of the checks in `shadow` nothing is done for him."""

    findings: tuple[Finding, ...] = ()
    shadow: frozenset[str] = frozenset()


NOTHING = Found()


@dataclass(frozen=True, slots=True)
class Outcome:
    """`action` is carried out; `decision` led to it, its notes say why they differ.

    A copy that goes on has these `changes`; `original` is under what name the message is kept as it
    was, if it is. `facts` are fields for the recipient's own script. `found` is what was found for
    him alone.
    """

    target: Target
    decision: Decision
    action: Action
    changes: tuple[Change, ...] = ()
    original: str = ""
    facts: bytes = b""
    found: Found = field(default=NOTHING, compare=False)

    def noted(self, *notes: str) -> Outcome:
        """The same, and this is told of it."""
        return replace(self, decision=self.decision.noted(*notes))

    def kept_back(self, action: Action, note: str) -> Outcome:
        """What is done where his copy cannot be made."""
        return Outcome(self.target, self.decision.noted(note), action, found=self.found)


def outcome(
    target: Target,
    provenance: Provenance,
    facts: Facts,
    settings: Settings,
    now: float,
    past: Collection[tuple[str, str]] = (),
    found: Found = NOTHING,
) -> Outcome:
    """Decide for one recipient; `facts` is who sent it, `now` in seconds of the epoch.

    The rules in `past`, check and band, count as if nothing had been found.
    """
    above = shadowing(settings.layers(provenance.channel, target.channel), found.shadow)
    layers = (*above, *target.layers)
    both = (*provenance.findings, *found.findings)
    findings = [one for one in both if (one.check, one.band) not in past]
    ruling = _ruling(facts, past, *target.layers)
    decision = through(
        decide(findings, layers, role=target.role, ruling=ruling),
        target.lists,
        findings,
        above,
        target.layers,
        functools.partial(_ruling, facts, past),
        role=target.role,
    )
    if target.closed is not None:
        # Anybody can write a Delivered-To that makes a loop: what else was found is still done.
        reasons = (*target.closed.reasons, *decision.reasons)
        decision = replace(decision, action=target.closed.action, reasons=reasons)
    action, note = _possible(decision, target, provenance, settings, now)
    if note:
        decision = replace(decision, notes=(*decision.notes, note))
    return Outcome(target, decision, action, found=found)


def _ruling(facts: Facts, past: Collection[tuple[str, str]], *layers: Layer) -> Ruling | None:
    """The entry that rules, but for one that blocks where that does not count."""
    ruling = rule(layers, facts)
    blocks = ruling is not None and not ruling.entry.allows
    return None if blocks and (BLOCKED.check, BLOCKED.band) in past else ruling


def _possible(
    decision: Decision, target: Target, provenance: Provenance, settings: Settings, now: float
) -> tuple[Action, str]:
    action, notes = decision.action, []
    viruses = any(one.finding.check in MATRICES for one in decision.removals)
    if viruses and action not in {Action.DEFER, Action.DISCARD}:
        notes.append(f"{action.word} is quarantine of a virus that nobody has removed")
        action = Action.QUARANTINE
    elif action is Action.REJECT:
        action, note = _after_queue(decision, target, provenance, settings)
        notes += [note] if note else []
    if action is Action.DEFER and is_late(provenance, now):
        action = Action.QUARANTINE
        notes.append(LATE)
    return action, "; ".join(notes)


def is_late(provenance: Provenance, now: float) -> bool:
    """Whether a message has waited for as long as it may."""
    return now - provenance.time > DEFER_LIMIT


def _after_queue(
    decision: Decision, target: Target, provenance: Provenance, settings: Settings
) -> tuple[Action, str]:
    """What is done instead of a rejection; what other findings have is done at least."""
    stopping = (one.action for one in decision.reasons if one.finding.check in MATRICES)
    kept = max(stopping, default=Action.DELIVER)
    if kept >= Action.QUARANTINE:
        kept = Action.QUARANTINE if kept is Action.REJECT else kept
        return kept, f"reject after the queue is {kept.word} of what carries a virus"
    if provenance.channel in {SUBMISSION, LOCAL}:
        return Action.REJECT, ""
    instead = _AFTER_QUEUE[settings.reject_after_queue]
    note = f"reject after the queue is {settings.reject_after_queue} on this site"
    blocked = any(reason.finding.check == BLOCKED.check for reason in decision.reasons)
    blind = not blocked and not all(layer.sees_junk for layer in target.layers)
    if instead is Action.JUNK and blind:
        instead, note = Action.TAG, f"{note}, and tag for who never sees Junk"
    files = any(
        one.action is Action.REJECT and one.finding.check.partition("/")[0] == ATTACHMENT
        for one in decision.reasons
    )
    if files and instead is not Action.REJECT:
        instead, note = Action.QUARANTINE, "reject after the queue is quarantine of attachments"
    others = {one.action for one in decision.reasons} - {Action.REJECT}
    least = max(others, default=Action.DELIVER)
    if least > instead:
        return least, f"{note}, and {least.word} by another finding"
    return instead, note
