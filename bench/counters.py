"""What one recipient costs `flow`: whether the user is held, and two claims of two windows.

The counts are in a file, as they are for one machine, or on a Redis that keeps nothing on disk, by
its unix socket and by TCP on the same machine, and for the floor a PING by the unix socket. Two
processes count, as workers do, each in one thread, as many recipients as `--messages`, of 500
users. The ways take turns.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.store.counterfile import CounterFile
from iems.store.counters import Claim, Counters
from iems.store.counterserver import CounterServer
from iems.store.resp import Login, Resp
from tests.integration.stack.ground import Ground, running, users
from tests.integration.stack.redis import Redis

WAYS = ("file", "Redis, unix socket", "Redis, TCP", "PING, unix socket")
_USERS = 500
_PATIENCE = 60.0


def measure(rounds: int, messages: int) -> str:
    """Run everything; the table."""
    users()
    ground = Ground()
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    try:
        with running(Redis(ground)) as redis:
            places = (str(ground.place("counts") / "sqlite"), redis.address, redis.inet)
            for _round in range(rounds):
                for way, place in zip(WAYS, (*places, redis.address), strict=True):
                    times[way] += _by_two(place, messages, ping=way.startswith("PING"))
    finally:
        ground.close()
    rows = [f"| {way} | {_row(times[way])} |" for way in WAYS]
    return "\n".join(
        [
            "## One count",
            "",
            "| counts in | median, µs | 99th percentile, µs |",
            "| --- | --- | --- |",
            *rows,
            "",
            f"- two processes, {messages} recipients each, {rounds} rounds",
            "",
        ]
    )


def _by_two(place: str, count: int, *, ping: bool) -> list[float]:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        both = pool.starmap(_timed, [(place, count, ping)] * 2)
    return [one for times in both for one in times]


def _timed(place: str, count: int, ping: bool) -> list[float]:
    """Seconds of each of so many recipients."""
    ask = _ping(place) if ping else _recipient(_counters(place))
    ask(0)
    times = []
    for number in range(count):
        began = time.perf_counter()
        ask(number)
        times.append(time.perf_counter() - began)
    return times


def _counters(place: str) -> Counters:
    if place.startswith("/"):
        return CounterFile(Path(place))
    return CounterServer(Resp(Server.parse(place), Login()), place, "iems:")


def _recipient(counters: Counters) -> Callable[[int], object]:
    def count(number: int) -> object:
        user, deadline = f"user{number % _USERS}@example.test", Deadline.after(_PATIENCE)
        claims = [
            Claim(f"flow {limit} {user}", window, 1 << 40)
            for limit, window in (("hour", 3600.0), ("day", 86_400.0))
        ]
        return counters.is_held(user, deadline), counters.take(claims, deadline)

    return count


def _ping(place: str) -> Callable[[int], object]:
    server = Resp(Server.parse(place), Login())
    return lambda _number: server.ask((b"PING",), Deadline.after(_PATIENCE))


def _row(times: Sequence[float]) -> str:
    worst = statistics.quantiles(times, n=100)[98]
    return f"{statistics.median(times) * 1e6:.0f} | {worst * 1e6:.0f}"
