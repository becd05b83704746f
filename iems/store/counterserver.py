"""Counters on a Redis or Valkey server, which several MTAs share (docs/adr/0020).

Every question is one script (`counters.lua`) that the server runs whole, by its own clock, so that
MTAs whose clocks differ agree. Keys begin with the prefix of the settings, and name nobody: they
are digests. Each count expires with its window. Who is held stands in one hash that does not
expire, by name.

Failure: whatever keeps the server from answering as the script does, by the deadline, is a
`CountersError`; nothing is counted elsewhere instead. A server that begins anew with nothing has
forgotten counts and holds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from importlib import resources

from iems.serve.deadline import Deadline
from iems.store.counters import MOST, Claim, CountersError, Held, as_bytes, as_text
from iems.store.resp import Answer, Resp, RespError
from iems.store.script import Script

_PROBE = "probe"
_PROBED = 60.0

_NEVER = 250_000_000_000.0
"""Seconds of the epoch: the year 9892. Of a later one no calendar knows the date."""


class CounterServer:
    """The server; for all threads of one process.

    `note` is told the text of each CountersError. `clock` gives seconds of the epoch where it is
    not the server that does.
    """

    def __init__(
        self,
        server: Resp,
        name: str,
        prefix: str,
        note: Callable[[str], None] = lambda _why: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._server = server
        self._name = name
        self._prefix = prefix.encode()
        self._note = note
        self._clock = clock
        text = resources.files(__package__).joinpath("counters.lua").read_bytes()
        self._script = Script(server, text)

    def add(self, key: str, amount: int, window: float, deadline: Deadline) -> int:
        """Count so much of it; how much that makes within the `window` of seconds that ends now."""
        words = (_number(window), _number(max(-MOST, min(amount, MOST))))
        return int(self._seconds(self._run("add", [key], words, deadline)))

    def take(self, claims: Sequence[Claim], deadline: Deadline) -> tuple[float, ...]:
        """Count all of this, or nothing where one of the claims would be over its limit.

        Each claim's seconds until it can be made, 0 where it could be now. No key may come twice
        with one window.
        """
        if not claims:
            return ()
        words = [_number(n) for one in claims for n in (one.window, one.limit, one.amount)]
        waits = self._run("take", [one.key for one in claims], words, deadline)
        if not isinstance(waits, tuple) or len(waits) != len(claims):
            raise self._strange()
        return tuple(map(self._seconds, waits))

    def peek(self, key: str, window: float, deadline: Deadline) -> int:
        """How much of it there is within the `window` of seconds that ends now."""
        return int(self._seconds(self._run("peek", [key], [_number(window)], deadline)))

    def hold(self, user: str, why: str, deadline: Deadline, *, told: bool = False) -> bool:
        """Hold an account from now on; whether it was not held before."""
        words = (as_text(user).encode(), b"%d" % told, as_text(why).encode())
        return self._whether(self._run("hold", (), words, deadline))

    def is_held(self, user: str, deadline: Deadline) -> bool:
        """Whether this account is held."""
        command = (b"HEXISTS", self._held, as_text(user).encode())
        return self._whether(self._asked(command, deadline))

    def held(self, deadline: Deadline) -> list[Held]:
        """All accounts that are held, the first one first."""
        told = self._asked((b"HGETALL", self._held), deadline)
        if not isinstance(told, tuple) or len(told) % 2:
            raise self._strange()
        rows = [self._row(*pair) for pair in zip(told[::2], told[1::2], strict=True)]
        return sorted(rows, key=lambda one: (one.since, one.user))

    def tell(self, one: Held, deadline: Deadline) -> None:
        """Postmaster was told of this hold."""
        words = (as_text(one.user).encode(), b"%.6f" % one.since)
        self._whether(self._run("tell", (), words, deadline))

    def release(self, user: str, keys: Sequence[str], deadline: Deadline) -> bool:
        """Hold it no longer, and forget what was counted under these keys; whether it was held."""
        return self._whether(self._run("release", keys, [as_text(user).encode()], deadline))

    def unavailable(self, deadline: Deadline) -> str:
        """Why it does not count or tell who is held now; empty where it does both."""
        try:
            self.add(_PROBE, 1, _PROBED, deadline)
            self.is_held(_PROBE, deadline)
            self.held(deadline)
        except CountersError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Close the connections; a count after that opens one again."""
        self._server.close()

    @property
    def _held(self) -> bytes:
        return self._prefix + b"held"

    def _key(self, key: str) -> bytes:
        return self._prefix + b"count:" + hashlib.sha256(as_bytes(key)).hexdigest().encode()

    def _run(
        self, verb: str, keys: Sequence[str], words: Sequence[bytes], deadline: Deadline
    ) -> Answer:
        """What the script answers."""
        now = b"" if self._clock is None else _number(self._clock())
        places = (self._held, *map(self._key, keys))
        try:
            return self._script.run(places, (verb.encode(), now, *words), deadline)
        except RespError as error:
            raise self._failed(str(error)) from None

    def _asked(self, command: Sequence[bytes], deadline: Deadline) -> Answer:
        try:
            return self._server.ask(command, deadline)
        except RespError as error:
            raise self._failed(str(error)) from None

    def _failed(self, why: str) -> CountersError:
        text = f"{self._name}: {why}"
        self._note(text)
        return CountersError(text)

    def _strange(self) -> CountersError:
        return self._failed("answers what no script of ours does")

    def _whether(self, answer: Answer) -> bool:
        if answer not in (0, 1):
            raise self._strange()
        return answer == 1

    def _seconds(self, answer: Answer) -> float:
        """A number that is told as text."""
        try:
            number = float(answer) if isinstance(answer, bytes) else -1.0
        except ValueError:
            number = -1.0
        if not 0 <= number < math.inf:
            raise self._strange()
        return number

    def _row(self, user: Answer, row: Answer) -> Held:
        try:
            if not isinstance(user, bytes) or not isinstance(row, bytes):
                raise self._strange()
            since, told, why = row.decode().split(" ", 2)
            if not 0 <= float(since) < _NEVER:
                raise self._strange()
            return Held(user.decode(), float(since), why, told == "1")
        except ValueError:
            raise self._strange() from None


def _number(number: float) -> bytes:
    """As Lua reads it; a whole number like any other, for a window is a name as well."""
    return repr(float(number)).encode()
