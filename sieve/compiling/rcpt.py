"""Rules that refuse by the envelope's sender alone: what can be told at RCPT, before content.

A reply of SMTP is printable ASCII (RFC 5321 section 4.2); of a text that has other letters nothing
is said in it (RFC 5429 section 2.2), and the site's own text stands there.
"""

from __future__ import annotations

from dataclasses import dataclass

from iems.codec.printable import printable
from iems.model.senders import MAX_TOLD
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

    @property
    def told(self) -> str:
        """The text as one line of a reply, cut where it is too long; empty where it is none."""
        line = " ".join(self.text.split())
        return printable(line, MAX_TOLD) if line.isascii() and line.isprintable() else ""

    @property
    def doubt(self) -> str:
        """What the sender is not told of it; empty where he is told all."""
        if not self.told and self.text.strip():
            return "the sender is told the site's text: a reply of SMTP has ASCII alone"
        if len(" ".join(self.text.split())) > MAX_TOLD:
            return f"the sender is told {MAX_TOLD} characters of its text: a reply is one line"
        return ""


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
