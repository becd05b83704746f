"""The most that a message may meet: Pigeonhole undoes all of it where one action is too much."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from sieve.diagnostic import Diagnostic, Severity

Act: TypeAlias = tuple[str, str]
"""An action and where it leads; one that comes again is none (0.5.19, seen)."""


def beyond(
    rules: Iterable[tuple[str, frozenset[Act], bool]], actions: int, redirects: int
) -> tuple[Diagnostic, ...]:
    """For rules by name, what each does, and whether it is the last then: what may be too much.

    A message is taken to be met by every rule before the one that ends: which conditions cannot
    hold together is not asked.
    """
    done: set[Act] = set()
    sent = 0
    remarks: dict[str, Diagnostic] = {}
    for name, does, ends in rules:
        more = does - done
        also = sum(act == "redirect" for act, _ in more)
        for word, number, limit in (
            ("actions", len(done) + len(more), actions),
            ("addresses that it is sent on to", sent + also, redirects),
        ):
            if number > limit and word not in remarks:
                message = f"up to here a message may meet {number} {word}: {limit} are allowed"
                remarks[word] = Diagnostic(Severity.ERROR, message, name)
        if not ends:
            done |= more
            sent += also
    return tuple(remarks.values())
