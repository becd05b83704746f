"""What a message costs while one of the four blacklists is dead, slow or lies.

Postfix, milter, unbound and rbldnsd as in `bench.smtp`; the fourth list is asked through a relay of
this module, which keeps silent, waits or lies when it is told to. Every client is new, so that each
list is asked for each message. 20 messages begin in a second. A sickness lasts until the milter has
set the list aside, by the breaker of its workers or by its test of all lists, or for the longest
that such a test may take; delays are told of before and after that, over those of four well lists.
"""

from __future__ import annotations

import itertools
import random
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.names import SEED, ZONES
from bench.smtp import BOXES, HEADER, Bench, Work, conversation, running_bench
from iems.codec import findings
from iems.codec.header import parse_header, split_message
from tests.integration.dns_fake import answering
from tests.integration.stack.packets import ask
from tests.waiting import eventually

RATE = 20.0
SLICE = 20
"""Messages of which it is looked at what they found."""

TTL = 60
"""Seconds that unbound keeps what the fourth list says, its test entries too: as large lists do."""

LONGEST = {"slow": 30.0}
"""Seconds until a sickness ends although the list is not aside: no test sets a slow one aside."""

_MOST = 150.0
"""The same of any other: the test of all lists runs once a minute and is answered by a cache."""

LATER = 200
"""Messages sent when the list is aside, and before it falls sick."""

LABEL = ZONES[3].partition(".")[0]
_SLOW = 1.0
_LIES = {"lists everybody": "@ 0 A 127.0.0.2", "answers outside 127/8": "@ 0 A 192.0.2.1"}
STATES = ("dead", "slow", *_LIES)
_CROWD = 400
"""Connections at once: more than begin in the time that a dead list is waited for."""


class Relay:
    """Stands before rbldnsd for one list; `state` is empty where it is well."""

    def __init__(self) -> None:
        self.state = ""
        self.upstream = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @contextmanager
    def serving(self, upstream: int) -> Iterator[None]:
        """Answer what the server on this port answers."""
        self.upstream = upstream
        self._thread.start()
        try:
            yield
        finally:
            self.state = "over"
            self._socket.sendto(b"", ("127.0.0.1", self.port))
            self._thread.join()
            self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            match self.state:
                case "over":
                    return
                case "dead":
                    continue
                case "slow":
                    threading.Timer(_SLOW, self._pass, (query, client)).start()
                case "":
                    self._pass(query, client)
                case lie:
                    (answer,) = answering(_LIES[lie])(query)
                    self._socket.sendto(answer, client)

    def _pass(self, query: bytes, client: tuple[str, int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(5)
            asked.sendto(query, ("127.0.0.1", self.upstream))
            answer = asked.recv(4096)
        if self.state != "over":
            self._socket.sendto(answer, client)


@dataclass
class Stretch:
    """Messages of one stretch of time: their seconds, and what they found of the fourth list."""

    times: list[float] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)

    def add(self, other: Stretch) -> None:
        """Both together."""
        self.times += other.times
        self.found += other.found


@dataclass(frozen=True)
class Sickness:
    """One state: the list well, sick, and aside after so many seconds (None: never)."""

    well: Stretch
    sick: Stretch
    aside: Stretch
    after: float | None


def measure(_rounds: int, _messages: int) -> str:
    """Run everything; the table."""
    relay = Relay()
    with (
        running_bench(Work(elsewhere={ZONES[3]: relay.port}, ttl=TTL)) as bench,
        relay.serving(bench.names.lists_port),
    ):
        every = bench.names.clients
        # Another seed than the one that drew who is listed.
        clients = iter(random.Random(SEED + 1).sample(every, len(every)))
        told = {state: _sickness(bench, relay, clients, state) for state in STATES}
    head = (
        "the fourth list",
        *("added, median, ms", "added, 99th, ms", "found meanwhile"),
        *("set aside after, s", "then added, median, ms", "then added, 99th, ms"),
    )
    return "\n".join(
        [
            "## One blacklist of four is sick",
            "",
            f"| {' | '.join(head)} |",
            "| --- " * len(head) + "|",
            *(_row(state, one) for state, one in told.items()),
            "",
            f"- messages that begin in a second: {RATE:.0f}, each from a new client",
            f"- four well lists: {_quantiles(told[STATES[0]].well.times)} ms (median, 99th)",
            "",
        ]
    )


def _sickness(bench: Bench, relay: Relay, clients: Iterator[str], state: str) -> Sickness:
    relay.state = ""
    bench.restart()
    eventually(lambda: ask(bench.names.port, f"2.0.0.127.{ZONES[3]}"), 20, "the fourth list")
    # The test of the state before may still be held against it.
    eventually(lambda: not _slice(bench, clients, SLICE).found["aside"], 100, "the list is aside")
    well, sick = _slice(bench, clients, LATER), Stretch()
    relay.state, began, after = state, time.perf_counter(), None
    while after is None and time.perf_counter() - began < LONGEST.get(state, _MOST):
        one = _slice(bench, clients, SLICE)
        if one.found["aside"] == SLICE:
            after = time.perf_counter() - began
        else:
            sick.add(one)
    aside = _slice(bench, clients, LATER) if after is not None else Stretch()
    print(f"{state}: {sick.found}, aside after {after}, then {aside.found}", flush=True)
    return Sickness(well, sick, aside, after)


def _slice(bench: Bench, clients: Iterator[str], count: int) -> Stretch:
    talks = [
        conversation(client, user)
        for client, user in zip(itertools.islice(clients, count), itertools.cycle(BOXES))
    ]
    times = bench.hold("warm", talks, _CROWD, RATE).times
    found: Counter[str] = Counter()
    for message in bench.delivered():
        (field_,) = parse_header(split_message(message)[0]).named(HEADER.strip(b"\n:"))
        passed = findings.decode(field_.value, bench.secret).findings
        found.update(one.outcome for one in passed if one.check == f"dnsbl/{LABEL}")
    return Stretch(list(times), found)


def _row(state: str, one: Sickness) -> str:
    found = ", ".join(f"{word} {count}" for word, count in one.sick.found.most_common())
    after = "never" if one.after is None else f"{one.after:.1f}"
    sick, aside = _added(one.sick.times, one.well.times), _added(one.aside.times, one.well.times)
    return f"| {state} | {sick[0]} | {sick[1]} | {found} | {after} | {aside[0]} | {aside[1]} |"


def _added(times: list[float], base: list[float]) -> tuple[str, str]:
    if not times:
        return "", ""
    pairs = zip(_quantiles(times), _quantiles(base), strict=True)
    middle, worst = (f"{sick - well:.1f}" for sick, well in pairs)
    return middle, worst


def _quantiles(times: list[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    return (
        round(1000 * statistics.median(times), 1),
        round(1000 * statistics.quantiles(times, n=100)[98], 1),
    )
