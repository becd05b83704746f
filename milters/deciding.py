"""What the policy says of each whom a message reaches, and whether they agree on a refusal.

It asks nobody; the agent decides again for each mailbox.
"""

from __future__ import annotations

from collections.abc import Sequence

from iems.codec.delivered import delivered_to
from iems.directory.resolve import Destination
from iems.model.address import Address
from iems.model.envelope import LOCAL
from iems.model.finding import ATTACHMENT, MATCHED, Finding
from iems.model.policy import (
    Action,
    Decision,
    Layer,
    Reason,
    Ruling,
    allowed,
    decide,
    rule,
    through,
)
from iems.settings.schema import Settings
from milters.checks.protocol import Stage
from milters.edits import leaving
from milters.state import Message, direction

_REFUSED = frozenset({Action.REJECT, Action.DEFER})


def decided(
    settings: Settings,
    message: Message,
    accepted: Sequence[tuple[Address, frozenset[Destination]]],
    seen: tuple[Finding, ...],
    stage: Stage,
    *,
    hope: bool = False,
) -> list[tuple[Destination, Decision]]:
    """The decision about each of these; `hope` is for what is still to be found."""
    reached = [one for _address, destinations in accepted for one in destinations]
    above = settings.layers(message.channel, direction(reached))
    facts = None
    if any(one.listed for one in reached):
        weighed = settings.weighed(seen)
        facts = message.facts(weighed, settings.trusted_relays, whole=stage is Stage.BODY)

    def ruling_of(*layers: Layer) -> Ruling | None:
        return rule(layers, facts, hope=hope) if facts else None

    def decision(address: Address, one: Destination) -> Decision:
        own = (*settings.beneath(one.channel), *one.layers)
        role, leaves = address.role or one.address.role, one.channel != LOCAL
        ruling = ruling_of(*one.layers)
        found = (*seen, *message.own.of(one.speakers)) if stage is Stage.BODY else seen
        first = decide(found, (*above, *own), role=role, leaves=leaves, ruling=ruling)
        return through(first, one.lists, found, above, own, ruling_of, role=role, leaves=leaves)

    found = [
        (one, _closed(settings, message, one) or decision(address, one))
        for address, destinations in accepted
        for one in sorted(destinations, key=lambda one: one.address.key)
    ]
    # Postfix took an address that we do not find, by a match of its own: what is enforced holds
    # for everybody, whoever he is.
    unknown = [address for address, destinations in accepted if not destinations]
    if unknown:
        forced = [one for one in seen if len(allowed(one.check, one.band, above)) == 1]
        found += [(Destination(one, LOCAL), decide(forced, above)) for one in unknown]
    return found


def _closed(settings: Settings, message: Message, one: Destination) -> Decision | None:
    """Who has logged in may write to nobody where that trains his filter."""
    trains = one.training and bool(message.authenticated) and settings.trains_by_mail
    return None if trains else message.closed(one)


def refused(message: Message, decisions: Sequence[tuple[Destination, Decision]]) -> bool:
    """Whether all decisions agree on a refusal, where one can be made."""
    actions = {decision.action for _destination, decision in decisions}
    return bool(actions) and actions <= _REFUSED and message.channel != LOCAL


def stopping(
    settings: Settings, message: Message, seen: tuple[Finding, ...]
) -> list[tuple[Destination, Decision]]:
    """The decisions that keep a whole message from going on; none where it does."""
    message.had = delivered_to(message.block)
    late = not message.started.keys().isdisjoint({Stage.HEADERS, Stage.BODY})
    destinations = [one for _address, found in message.accepted for one in found]
    said = (layer for one in destinations for layer in one.speakers)
    if not (message.had or late or any(layer.senders or layer.headers for layer in said)):
        return []
    decisions = decided(settings, message, message.accepted, seen, Stage.BODY)
    return decisions if refused(message, decisions) else leaving(decisions)


def of_all(settings: Settings, message: Message, seen: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Without what was found of one recipient, if it would refuse another, or keep it back."""
    own = message.of_one() if len(message.accepted) > 1 else ()
    if not own:
        return seen
    decisions = decided(settings, message, message.accepted, own, Stage.RCPT)
    reasons = (reason for _destination, decision in decisions for reason in decision.reasons)
    strong = {reason.finding for reason in reasons if reason.action >= Action.DEFER}
    return tuple(one for one in seen if one not in strong)


def removing(settings: Settings, message: Message, seen: tuple[Finding, ...]) -> tuple[Reason, ...]:
    """What takes attachments out of a message that leaves this host, of any who get it there."""
    if not message.leaves or not any(_is_attachment(one) and one.band == MATCHED for one in seen):
        return ()
    found = decided(settings, message, message.accepted, seen, Stage.BODY)
    away = (decision for one, decision in found if one.channel != LOCAL)
    return tuple(
        reason
        for decision in away
        for reason in decision.removals
        if _is_attachment(reason.finding)
    )


def _is_attachment(finding: Finding) -> bool:
    return finding.check.partition("/")[0] == ATTACHMENT
