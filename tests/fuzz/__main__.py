"""`make fuzz`: every target for a while, each in a process of its own, and what it came to.

What the fuzzer learns stays in `.cache/fuzz/corpus`, so that the next run begins where this one
ended. Bytes that break a law, take longer than 10 s or more than 1 GiB end their target and lie in
`.cache/fuzz/found`; the exit code is then 1. They belong into `tests/fuzz/corpus/TARGET/` once what
they broke is mended. What reads or edits messages has narrower bounds (`tests/fuzz/bounds.py`).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import CORPUS, TARGETS

_CACHE = Path(__file__).parents[2] / ".cache/fuzz"
_BOUNDS = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=8192")
_EDGES = re.compile(r"(?:INITED|DONE) +cov: (\d+)")
_RUNS = re.compile(r"stat::number_of_executed_units: +(\d+)")


def main() -> int:
    """Run the targets named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("target", nargs="*", choices=[[], *TARGETS], help="all unless given")
    arguments = parser.parse_args()
    print(f"{'target':10} {'executions':>10} {'per second':>10} {'edges':>6} {'new':>5}")
    broken = [name for name in arguments.target or TARGETS if not _fuzz(name, arguments.seconds)]
    for name in broken:
        print(f"a law of {name} is broken: see {_CACHE / 'found' / name}.log", file=sys.stderr)
    return 1 if broken else 0


def _fuzz(name: str, seconds: int) -> bool:
    """Whether the target held; one line of the table."""
    learnt, found = _CACHE / "corpus" / name, _CACHE / "found"
    for folder in (learnt, found):
        folder.mkdir(parents=True, exist_ok=True)
    words = [*_BOUNDS, f"-max_total_time={seconds}", f"-artifact_prefix={found}/{name}-"]
    words += ["-print_final_stats=1", str(learnt), str(CORPUS / name)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.worker", name, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    told = done.stderr.decode(errors="replace")
    runs, edges = (
        [int(one) for one in _RUNS.findall(told)],
        [int(one) for one in _EDGES.findall(told)],
    )
    if done.returncode or len(edges) < 2:
        (found / f"{name}.log").write_text(told)
        print(f"{name:10} {runs[-1] if runs else '-':>10} broken")
        return False
    first, last = edges[0], edges[-1]
    print(
        f"{name:10} {runs[-1]:>10} {runs[-1] // seconds:>10} {last:>6} {last - first:>5}",
        flush=True,
    )
    return True


if __name__ == "__main__":
    sys.exit(main())
