"""`python -m bench.soak`: half an hour of steady load, and whether anything of ours grows.

The whole system as deployed, at 70 % of the rate that it reaches just before, or at `--rate`. One
message a connection, each from one of 2,000 clients to one of 200 users; after each ten seconds a
fifth as much mail of every outcome, for others. Resident memory, descriptors and threads of every
process of ours are written down every ten seconds; exit 1 where one grows, one is replaced, a
message is refused, deferred, lost or doubled, an error is logged, or a line of the log has no
record.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import growth, load, names
from bench.deployed import deployed
from bench.smtp import MESSAGE
from iems.serve.status import resident
from tests.integration.directory import tree
from tests.integration.ledger import Ledger, ledgers
from tests.integration.mixed import Mixed
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.process import parent

DOMAIN = "soak.test"
USERS = tuple(f"user{number}@{DOMAIN}" for number in range(200))
CLIENTS = tuple(f"198.18.{number // 200}.{number % 200 + 1}" for number in range(2000))
PARALLEL = 20
SHARE = 0.7
"""Of the peak rate."""

_PEAK = 1500
"""Messages by which the peak rate is found."""

_MIXED = 0.2
"""Conversations of every outcome, for each message that is delivered."""

_EVERY = 10.0
_SAMPLES = 12
"""Seconds between two samples, less where there would be fewer samples than this."""

_FAULT = re.compile(r": (?:error|warning): ")
"""What a line of our log has that tells of something wrong."""

_DRAIN = 60.0
"""Seconds in which the queue has to be empty after the last message."""


@dataclass
class Course:
    """What was seen on the way: samples by process, and what went wrong."""

    held: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    sent: int = 0
    faults: list[str] = field(default_factory=list)

    def sample(self, daemons: dict[str, Daemon]) -> None:
        """Write down what every process holds now."""
        alive = {pid: name for name, daemon in daemons.items() for pid in _processes(name, daemon)}
        if not self.names:
            self.names = {pid: _called(name, pid, daemons[name]) for pid, name in alive.items()}
            self.held = {pid: {one: [] for one in growth.ALLOWED} for pid in alive}
        for pid in self.names.keys() ^ alive.keys():
            fault = f"{self.names.get(pid) or alive[pid]} {pid} was replaced"
            self.faults += [fault] if fault not in self.faults else []
        for pid in self.names.keys() & alive.keys():
            for quantity, value in _held(pid).items():
                self.held[pid][quantity].append(value)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--rate", type=float, help="messages a second; default: 70 %% of the peak")
    given = parser.parse_args()
    with _system() as system:
        both = ledgers(system)
        if given.rate is None:
            peak = _peak(system)
            print(f"peak: {peak:.0f} messages/s", flush=True)
        rate = given.rate or SHARE * peak
        before = _copies(system)
        course = _run(system, rate, given.seconds)
        course.faults += _aftermath(system, course.sent, before)
        course.faults += [fault for one in both for fault in _unrecorded(one)]
        return _told(course, rate, given.seconds)


@contextmanager
def _system() -> Iterator[MailSystem]:
    with deployed() as (system, _lists, _ground):
        system.slapd.add(tree.domain(DOMAIN) + "".join(tree.user(one) for one in USERS))
        yield system


def _peak(system: MailSystem) -> float:
    """Messages a second from the first connection to the last copy, all mailboxes made before."""
    where = ("127.0.0.1", system.port())
    for talks in (_talks(len(USERS)), _talks(_PEAK)):
        began = time.perf_counter()
        done = load.run(where, talks, PARALLEL)
        assert not done.refused, done.refused[:3]
        system.postfix.wait_empty(_DRAIN)
        rate = done.accepted / (time.perf_counter() - began)
    return rate


def _run(system: MailSystem, rate: float, seconds: float) -> Course:
    course = Course()
    daemons = {"milter": system.milter, "agent": system.agent}
    talks = _talks(math.inf)
    mixed = Mixed(system, "mixed.test", "198.19.0.1", "198.19.0.2", "198.19.0.3", deferred=False)
    others = mixed.talks(sys.maxsize)
    every = min(_EVERY, seconds / _SAMPLES)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        some = list(itertools.islice(talks, math.ceil(rate * every)))
        done = load.run(("127.0.0.1", system.port()), some, PARALLEL, rate)
        course.sent += done.accepted
        some = list(itertools.islice(others, math.ceil(_MIXED * len(some))))
        odd = load.run(("127.0.0.1", system.port()), some, PARALLEL)
        course.faults += [f"refused: {reply!r}" for reply in (*done.refused, *odd.refused)]
        course.sample(daemons)
        left = max(0.0, end - time.perf_counter())
        print(f"{course.sent} sent, {len(course.faults)} faults, {left:.0f} s left", flush=True)
    return course


def _talks(count: float) -> Iterator[load.Conversation]:
    draw = random.Random(names.SEED)
    for number in itertools.count():
        if number >= count:
            return
        client = draw.choice(CLIENTS)
        yield load.Conversation(
            [
                load.Step(b"", b"220"),
                load.Step(b"EHLO client.example\r\n"),
                load.Step(f"XCLIENT ADDR={client} NAME=mx.world.test\r\n".encode(), b"220"),
                load.Step(b"EHLO client.example\r\n"),
                load.Step(b"MAIL FROM:<sender@world.test>\r\n"),
                load.Step(f"RCPT TO:<{USERS[number % len(USERS)]}>\r\n".encode()),
                load.Step(b"DATA\r\n", b"354"),
                load.Step(MESSAGE + b".\r\n", message=True),
                load.Step(b"QUIT\r\n", b"221"),
            ]
        )


def _aftermath(system: MailSystem, sent: int, before: int) -> list[str]:
    """What is wrong with what was left: mail in the queue, lost, doubled or deferred, our log."""
    faults = []
    try:
        system.postfix.wait_empty(_DRAIN)
    except AssertionError:
        faults.append(f"{len(system.postfix.entries())} messages left in the queue")
    copies = _copies(system) - before
    if copies != sent:
        faults.append(f"{sent} sent and {copies} delivered")
    for line in system.postfix.log(": to=<").splitlines():
        faults += [line] if " status=sent " not in line else []
    for daemon in (system.milter, system.agent):
        with daemon.server.log.open(errors="replace") as lines:
            faults += [line.strip() for line in lines if _FAULT.search(line)]
    return faults


def _unrecorded(ledger: Ledger) -> list[str]:
    """What the log says was done and no record explains."""
    try:
        dropped = ledger.settle()
    except AssertionError as error:
        return [str(error)]
    nameless = ledger.nameless()
    print(f"{ledger.daemon.name}: {ledger.actions.total()} records, {dropped:.0f} dropped")
    return [f"nobody is named: {details}" for details in nameless]


def _copies(system: MailSystem) -> int:
    return sum(1 for _path in (system.dovecot.folder / "mail" / DOMAIN).glob("*/Maildir/new/*"))


def _processes(name: str, daemon: Daemon) -> tuple[int, ...]:
    assert daemon.server.running, f"{name}\n{daemon.server.tail()}"
    return daemon.server.members()


def _called(name: str, pid: int, daemon: Daemon) -> str:
    kind = "child" if parent(pid) == daemon.server.pid else "supervisor"
    return f"{name} {kind} {pid}"


def _held(pid: int) -> dict[str, float]:
    place = Path(f"/proc/{pid}")
    return {
        "KiB": resident(pid) / 1024,
        "descriptors": len(list((place / "fd").iterdir())),
        "threads": len(list((place / "task").iterdir())),
    }


def _told(course: Course, rate: float, seconds: float) -> int:
    print(f"\n{course.sent} messages in {seconds:.0f} s at {rate:.0f}/s")
    print("after the warm-up, from the median of the first half to that of the last:\n")
    print("| process | KiB | descriptors | threads |\n| --- | --- | --- | --- |")
    for pid, name in course.names.items():
        process = growth.Process(name, course.held[pid])
        course.faults += growth.grown(process)
        pairs = (growth.halves(process.held[quantity]) for quantity in growth.ALLOWED)
        cells = (f"{before:.0f} to {after:.0f}" for before, after in pairs)
        print(f"| {name} | {' | '.join(cells)} |")
    for fault in course.faults[:20]:
        print(f"soak: {fault}")
    print(f"soak: {'failed' if course.faults else 'passed'}, {len(course.faults)} faults")
    return 1 if course.faults else 0


if __name__ == "__main__":
    sys.exit(main())
