"""Which envelope senders a condition can hold for: what proves that two rules never meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from sieve.mailsort.rule import AddressTest, Condition, Group, Operator, Party, Quantity

Senders: TypeAlias = frozenset[str]
"""Addresses, and `@domain` for all of a domain and of those below it; in small letters."""


def senders_of(condition: Condition | None) -> Senders | None:
    """It holds for none but these; None where it may hold for anybody."""
    match condition:
        case AddressTest(Party.ENVELOPE_FROM, Operator.IS, values):
            return frozenset(value.lower() for value in values)
        case AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, values):
            return frozenset(f"@{value.lower()}" for value in values)
        case Group(Quantity.ANY, inner):
            each = [senders_of(one) for one in inner]
            known = [one for one in each if one is not None]
            return frozenset().union(*known) if len(known) == len(each) else None
        case Group(Quantity.ALL, inner):
            return next((one for one in map(senders_of, inner) if one is not None), None)
    return None


class Met:
    """Whose messages the rules so far have met."""

    def __init__(self) -> None:
        self._anybody = False
        self._senders: set[str] = set()
        self._domains: set[str] = set()

    def add(self, senders: Senders | None) -> None:
        """Those of these; None: everybody's."""
        if senders is None:
            self._anybody = True
            return
        self._senders |= senders
        self._domains.update(above for one in senders for above in _above(one))

    def may_include(self, senders: Senders | None) -> bool:
        """False only if none of these has been met."""
        if senders is None:
            return self._anybody or bool(self._senders)
        return self._anybody or any(
            one in self._senders
            or (one.startswith("@") and one in self._domains)
            or not self._senders.isdisjoint(_above(one))
            for one in senders
        )


def wider(sender: str) -> Iterator[str]:
    """A sender or `@domain`, and all of which it is one."""
    yield sender
    yield from _above(sender)


def _above(sender: str) -> Iterator[str]:
    """The domain of a sender, and those that it lies in."""
    domain = sender.rpartition("@")[2] if "@" in sender else ""
    while domain:
        yield f"@{domain}"
        domain = domain.partition(".")[2]
