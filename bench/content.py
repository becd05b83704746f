"""The check `content` beside the spamd that it asks: what of the time is our own.

A spamd of four processes with Debian's settings and rules, local tests only and without Bayes. The
same messages of about 4 KiB of the corpus are given to it straight, by the engine of our check, and
through Postfix and the milter, which asks it and four blacklists, and through Postfix alone. One
message at a time shows the delay, many at once the rate; processor time is that which the kernel
counts for the processes of each side.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import corpus, load
from bench.smtp import BOXES, Bench, Work, running_bench, talk
from bench.suite import cpu
from iems.codec import findings
from iems.codec.findings import NAME
from iems.codec.header import parse_header, split_message
from iems.model.server import Server as Address
from iems.serve.deadline import Deadline
from iems.store.spool import MemoryBody, Spooled
from milters.engines.engine import Mail
from milters.engines.spamd import Spamd
from tests.integration.stack.ground import Ground, accepts, users
from tests.integration.stack.process import Server
from tests.waiting import eventually

PROCESSES = 4
PARALLEL = 10
"""As many as our two workers have with spamd at once, by default."""

CHECKS = """
[checks.content]
mode = "delegate"
engine = "spamd"
server = "inet:127.0.0.1:{port}"
default = {{ spam = "deliver", certain = "deliver" }}
"""
SENDER = "user@world.test"
MOST = 100
"""Messages of one run: spamd takes some 10 a second."""

_SIZE = 4 << 10


@dataclass
class Run:
    """One side: seconds of each message one at a time, the rate of many at once, processor seconds
    a message of spamd and of the milter."""

    times: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    spamd: list[float] = field(default_factory=list)
    milter: list[float] = field(default_factory=list)


ALONE, STRAIGHT, BOTH = "Postfix alone", "spamd alone", "with the milter and spamd"


def measure(rounds: int, messages: int) -> str:
    """Run everything; the table."""
    count = min(messages, MOST)
    author = b"From: A Sender <%s>\r\n" % SENDER.encode()
    pool = [author + one for one in corpus.messages((_SIZE,))[_SIZE]]
    sent = list(itertools.islice(itertools.cycle(pool), count))
    runs = {name: Run() for name in (ALONE, STRAIGHT, BOTH)}
    with _spamd() as (spamd, port), running_bench(Work(CHECKS.format(port=port))) as bench:
        for name in runs:
            _one(bench, (spamd, port), sent, name, Run())  # not counted: everybody is warm
        for number, (name, run) in itertools.product(range(rounds), runs.items()):
            _one(bench, (spamd, port), sent, name, run)
            print(f"round {number + 1} {name}: {run.rates[-1]:.1f}/s", flush=True)
    return _table(runs, count)


def _one(
    bench: Bench, scanner: tuple[Server, int], sent: Sequence[bytes], name: str, run: Run
) -> None:
    spamd, port = scanner
    before = cpu(spamd.members()), bench.cpu("warm")
    if name == STRAIGHT:
        run.times += _scanned(port, sent, 1)[0]
        run.rates.append(_scanned(port, sent, PARALLEL)[1])
    else:
        way = "alone" if name == ALONE else "warm"
        run.times += bench.hold(way, _talks(bench, sent), 1).times
        run.rates.append(bench.hold(way, _talks(bench, sent), PARALLEL).rate)
    run.spamd.append((cpu(spamd.members()) - before[0]) / (2 * len(sent)))
    run.milter.append((bench.cpu("warm") - before[1]) / (2 * len(sent)))
    if name == BOTH:
        scanned = [_scored(bench, one) for one in bench.delivered()]
        assert all(scanned), f"{scanned.count(False)} of {len(scanned)} were not scanned"


def _scored(bench: Bench, message: bytes) -> bool:
    (passed,) = parse_header(split_message(message)[0]).named(NAME)
    told = findings.decode(passed.value, bench.secret).findings
    return any(one.check == "content" and one.score is not None for one in told)


def _scanned(port: int, sent: Sequence[bytes], parallel: int) -> tuple[list[float], float]:
    engine = Spamd(Address(ip="127.0.0.1", port=port))

    def scan(message: bytes) -> float:
        header, body = split_message(message)
        mail = Mail(Spooled(header, MemoryBody(body)), "mail.example.test", "127.16.0.1")
        began = time.perf_counter()
        engine.scan(mail, Deadline.after(60))
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(parallel) as threads:
        times = list(threads.map(scan, sent))
    return times, len(sent) / (time.perf_counter() - began)


def _talks(bench: Bench, sent: Sequence[bytes]) -> list[load.Conversation]:
    turns = zip(sent, itertools.cycle(BOXES), itertools.cycle(bench.names.clients))
    return [
        talk(client, "client.example", SENDER, user, text.replace(b"\r\n.", b"\r\n.."))
        for text, user, client in turns
    ]


@contextmanager
def _spamd() -> Iterator[tuple[Server, int]]:
    users()
    ground = Ground()
    folder, port = ground.place("spamd"), ground.port()
    folder.chmod(0o777)
    command: list[str | Path] = [
        *("spamd", "--local", "--nouser-config", "--cf=use_bayes 0", "--syslog=stderr"),
        *(f"--max-children={PROCESSES}", f"--min-children={PROCESSES}"),
        *(f"--listen=127.0.0.1:{port}", "--allowed-ips=127.0.0.1"),
        f"--helper-home-dir={folder}",
    ]
    server = Server("spamd", command, folder / "output", user="debian-spamd")
    try:
        ground.started(server)
        eventually(lambda: accepts(port), 60, server.tail)
        yield server, port
    finally:
        server.stop()
        ground.close()


def _table(runs: Mapping[str, Run], count: int) -> str:
    alone, straight, both = (1000 * statistics.median(run.times) for run in runs.values())
    own = both - alone - straight
    milter, spamd = (statistics.median(one) for one in (runs[BOTH].milter, runs[BOTH].spamd))
    return "\n".join(
        [
            "## The check content beside its spamd",
            "",
            "| run | one at a time, ms | messages/s, 10 at once | CPU, ms: spamd | milter |",
            "| --- | --- | --- | --- | --- |",
            *(_row(name, run) for name, run in runs.items()),
            "",
            f"- our own share of a message's time, ms: {own:.1f}, {own / straight:.1%} of spamd's",
            f"- our processor time: {milter / spamd:.1%} of spamd's",
            f"- messages a run: {count} one at a time and {count} at once",
            "",
        ]
    )


def _row(name: str, run: Run) -> str:
    cells = (
        f"{1000 * statistics.median(run.times):.1f}",
        f"{statistics.median(run.rates):.1f} ({min(run.rates):.1f} to {max(run.rates):.1f})",
        f"{1000 * statistics.median(run.spamd):.1f}",
        f"{1000 * statistics.median(run.milter):.1f}",
    )
    return f"| {name} | {' | '.join(cells)} |"
