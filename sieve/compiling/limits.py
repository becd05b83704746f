"""The most that a message may meet: Pigeonhole undoes all of it where one action is too much.

A message has one envelope sender, so rules for different ones do not meet. Nothing else proves it
so simply: a message may have two List-Id fields, and several authors in From.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sieve.compiling.senders import Senders, wider
from sieve.diagnostic import Diagnostic, Severity

Act: TypeAlias = tuple[str, str]
"""An action and where it leads; one that comes again is none (0.5.19, seen)."""

_MOST = 1_000_000
"""Rules times senders that are looked at: a second. With more all rules are taken to meet."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A rule that messages of these senders may meet (None: of anybody), and what it does then.

    `last` is whether it ends.
    """

    name: str
    senders: Senders | None
    acts: frozenset[Act]
    last: bool


def beyond(rules: Sequence[Meeting], actions: int, redirects: int) -> tuple[Diagnostic, ...]:
    """What may be too much, with the first rule where it may be.

    A message is taken to be met by every rule before the one that ends, but for those that are for
    other senders.
    """
    places = range(len(rules))
    remarks = dict(_beyond(rules, places, actions, redirects))
    named = {one for rule in rules for one in rule.senders or ()}
    if remarks and len(named) * len(rules) <= _MOST:
        each = [_met_by(sender, rules) for sender in (None, *sorted(named))]
        found = [one for met in each for one in _beyond(rules, met, actions, redirects)]
        remarks = dict(sorted(found, key=lambda one: -one[1][0]))
    return tuple(
        Diagnostic(Severity.ERROR, message, rules[place].name)
        for place, message in sorted(remarks.values())
    )


def _met_by(sender: str | None, rules: Sequence[Meeting]) -> Iterable[int]:
    """The rules for a sender, or one of this domain; None: of whom no rule speaks."""
    its = frozenset(wider(sender)) if sender is not None else frozenset[str]()
    return [
        place
        for place, rule in enumerate(rules)
        if rule.senders is None or not its.isdisjoint(rule.senders)
    ]


def _beyond(
    rules: Sequence[Meeting], places: Iterable[int], actions: int, redirects: int
) -> Iterator[tuple[str, tuple[int, str]]]:
    """Of what there is too much, where that begins, and what is said of it."""
    done: set[Act] = set()
    sent = 0
    told: set[str] = set()
    for place in places:
        more = rules[place].acts - done
        also = sum(act == "redirect" for act, _ in more)
        for word, number, limit in (
            ("actions", len(done) + len(more), actions),
            ("addresses that it is sent on to", sent + also, redirects),
        ):
            if number > limit and word not in told:
                told.add(word)
                yield (
                    word,
                    (
                        place,
                        f"up to here a message may meet {number} {word}: {limit} are allowed",
                    ),
                )
        if not rules[place].last:
            done |= more
            sent += also
