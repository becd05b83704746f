"""What the checks know of the DNS: a question is sent now and its answer is collected later.

An answer never raises: what went wrong is its status. A question that nobody collects costs
nothing but its place until it expires.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from iems.serve.deadline import Deadline

Rtype = Literal["A", "AAAA", "MX", "PTR", "TXT"]


class Status(enum.Enum):
    """How a question ended; only the first three are the word of the zone itself."""

    FOUND = "found"
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"

    @property
    def definite(self) -> bool:
        """Whether the zone has spoken; asking again soon gives the same."""
        return self._value_ in {"found", "nxdomain", "nodata"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The records as text: addresses, names without the last dot, TXT with a letter per byte.

    An MX is `PREFERENCE NAME`, its name empty where it is the root (RFC 7505).

    `ttl` is in seconds, 0 where nothing may be kept.
    """

    status: Status
    records: tuple[str, ...] = ()
    ttl: int = 0


class Question(Protocol):
    """A question under way; one thread collects it."""

    def result(self, deadline: Deadline) -> Answer:
        """The answer, `TIMEOUT` where none came until the deadline; may be called again."""
        ...


Then = Callable[[Answer], None]


class Resolver(Protocol):
    """Whoever answers."""

    def ask(self, name: str, rtype: Rtype, then: Then | None = None) -> Question:
        """Send the question at once; ValueError where `name` can be no domain name.

        `then` is called with a definite answer as soon as there is one, before `result` gives it,
        maybe in another thread and maybe before this returns; it must neither block nor raise.
        """
        ...
