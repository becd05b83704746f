"""Rules that refuse by the envelope's sender alone: what can be told at RCPT, before content."""

from __future__ import annotations

from dataclasses import dataclass

from sieve.compiling.senders import Met, senders_of
from sieve.mailsort.rule import (
    AddressTest,
    Condition,
    Flag,
    Group,
    MarkRead,
    Operator,
    Party,
    Quantity,
    Reject,
    Rule,
)

_HARMLESS = (Flag, MarkRead)
"""Actions that are nothing on a message that is refused."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Mail of these senders is refused at RCPT with this text; `is` or `in-domain`."""

    rule: str
    operator: Operator
    values: tuple[str, ...]
    text: str


def blocked_of(rules: tuple[Rule, ...]) -> dict[int, tuple[Blocked, ...]]:
    """For each rule that can be told at RCPT, by its place: what is refused.

    It is not if an earlier rule may do anything for one of these senders.
    """
    met, found = Met(), dict[int, tuple[Blocked, ...]]()
    for place, rule in enumerate(rules):
        senders = senders_of(rule.condition)
        blocked = _blocked(rule)
        if blocked and not met.may_include(senders):
            found[place] = blocked
        elif not all(isinstance(action, _HARMLESS) for action in rule.actions):
            met.add(senders)
    return found


def _blocked(rule: Rule) -> tuple[Blocked, ...]:
    does = [action for action in rule.actions if not isinstance(action, _HARMLESS)]
    if not does or not isinstance(does[0], Reject):
        return ()
    tests = _tests(rule.condition)
    return tuple(Blocked(rule.name, one.operator, one.values, does[0].text) for one in tests or ())


def _tests(condition: Condition | None) -> tuple[AddressTest, ...] | None:
    """The tests of which one has to hold; None if that is not all of the condition."""
    match condition:
        case AddressTest(Party.ENVELOPE_FROM, Operator.IS, values):
            return (condition,) if all("@" in value for value in values) else None
        case AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, values):
            return (condition,) if all(values) else None
        case Group(Quantity.ANY, inner):
            each = [_tests(one) for one in inner]
            known = [one for one in each if one is not None]
            return sum(known, ()) if len(known) == len(each) else None
    return None
