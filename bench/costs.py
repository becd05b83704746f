"""What the milter adds to one message, what it holds, and how it bears many connections.

One message at a time shows the delay that a sender sees; five hundred connections at once show what
waits. Everything else is as in `bench.smtp`.
"""

from __future__ import annotations

import random
import statistics

from bench import names
from bench.smtp import Work, running_bench

WAYS = ("alone", "warm", "rspamd", "opendkim")
CROWD = 500
_SMALL = 400
"""Messages one after another, of each round and way."""


def measure(rounds: int, messages: int) -> str:
    """Run everything; the table."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    draw = random.Random(names.SEED)
    with running_bench(Work(rivals=("rspamd", "opendkim"))) as bench:
        clients = draw.choices(bench.names.clients, k=_SMALL)
        bench.run("warm", clients)  # not counted
        for _round in range(rounds):
            for name in WAYS:
                times[name] += bench.run(name, clients, parallel=1).times
        alone = bench.run("alone", draw.choices(bench.names.clients, k=messages), CROWD)
        crowd = bench.run("warm", draw.choices(bench.names.clients, k=messages), CROWD)
        memory = bench.memory()
    base = times["alone"]
    rows = [_row(name, times[name], base) for name in WAYS]
    held = ", ".join(f"{one / (1 << 20):.0f}" for one in memory)
    return "\n".join(
        [
            "## One message at a time",
            "",
            "| run | median, ms | 99th percentile, ms | added, median | added, 99th |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"- messages of each: {len(base)}, one after another, a connection each",
            f"- {CROWD} connections at once, {messages} messages, all taken: {crowd.rate:.0f}/s "
            f"with the milter, {alone.rate:.0f}/s without",
            f"- memory of the milter's processes afterwards, MiB: {held}",
            "",
        ]
    )


def _row(name: str, times: list[float], base: list[float]) -> str:
    middle, worst = _quantiles(times)
    least, most = _quantiles(base)
    return f"| {name} | {middle:.1f} | {worst:.1f} | {middle - least:.1f} | {worst - most:.1f} |"


def _quantiles(times: list[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    return 1000 * statistics.median(times), 1000 * statistics.quantiles(times, n=100)[98]
