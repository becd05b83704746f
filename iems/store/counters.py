"""How much of something there was of late, and who is held: what workers or MTAs share.

A window slides in steps of a tenth of its length: what was counted stays counted for the length of
the window and at most a tenth more, so that in no window there is ever more than a limit allows. An
account that is held stays so until it is released.

`iems.store.counterfile` keeps the counts in a file of the machine, `iems.store.counterserver` on a
server for several. Failure: whatever keeps them from counting is a `CountersError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from iems.serve.deadline import Deadline

PATIENCE = 2.0
"""Seconds for one count while a client waits."""

STEPS = 10
"""Steps of a window: a count of one more step is kept, of which a part may be older."""

MOST = 1 << 48
"""Counts end here; a double, as which Lua counts, holds the sum of a window exactly."""


class CountersError(Exception):
    """Nothing could be counted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """So much more of `key`, where within `window` seconds there may be at most `limit`."""

    key: str
    window: float
    limit: int
    amount: int = 1


@dataclass(frozen=True, slots=True)
class Held:
    """An account that is held, since a time of the epoch, and whether postmaster was told."""

    user: str
    since: float
    why: str
    told: bool


class Counters(Protocol):
    """For all threads of one process."""

    def add(self, key: str, amount: int, window: float, deadline: Deadline) -> int:
        """Count so much of it; how much that makes within the `window` of seconds that ends now."""
        ...

    def take(self, claims: Sequence[Claim], deadline: Deadline) -> tuple[float, ...]:
        """Count all of this, or nothing where one of the claims would be over its limit.

        Each claim's seconds until it can be made, 0 where it could be now. No key may come twice
        with one window.
        """
        ...

    def peek(self, key: str, window: float, deadline: Deadline) -> int:
        """How much of it there is within the `window` of seconds that ends now."""
        ...

    def hold(self, user: str, why: str, deadline: Deadline, *, told: bool = False) -> bool:
        """Hold an account from now on; whether it was not held before."""
        ...

    def is_held(self, user: str, deadline: Deadline) -> bool:
        """Whether this account is held."""
        ...

    def held(self, deadline: Deadline) -> list[Held]:
        """All accounts that are held, the first one first."""
        ...

    def tell(self, one: Held, deadline: Deadline) -> None:
        """Postmaster was told of this hold."""
        ...

    def release(self, user: str, keys: Sequence[str], deadline: Deadline) -> bool:
        """Hold it no longer, and forget what was counted under these keys; whether it was held."""
        ...

    def close(self) -> None:
        """Close what is open; a count after that opens it again."""
        ...


def as_bytes(key: str) -> bytes:
    """A key, whatever a client has made it of."""
    return key.encode("utf-8", "surrogatepass")


def as_text(text: str) -> str:
    """What can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()
