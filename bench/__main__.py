"""`python -m bench`: measure everything and print the tables for docs/benchmarks.md.

It needs root, for the private servers run under their own users, and takes an hour on two cores
with the default numbers. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

from bench import (
    bayes,
    bayeslmtp,
    chain,
    content,
    costs,
    counters,
    directory,
    edits,
    exact,
    generator,
    kept,
    lmtp,
    mailsort_install,
    mime,
    passthrough,
    proof,
    recipients,
    sick,
    sieve,
    smtp,
    users,
    why,
)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    runs = {
        "generator": generator.measure,
        "smtp": smtp.compare,
        "rivals": smtp.against,
        "passthrough": passthrough.measure,
        "spamassassin": passthrough.against_spamassassin,
        "chain": chain.measure,
        "sick": sick.measure,
        "content": content.measure,
        "lmtp": lmtp.compare,
        "bayes-lmtp": bayeslmtp.measure,
        "costs": costs.measure,
        "counters": counters.measure,
        "exact": exact.measure,
        "recipients": recipients.measure,
        "directory": directory.measure,
        "users": users.measure,
        "why": why.measure,
        "mime": mime.measure,
        "edits": edits.measure,
        "proof": proof.measure,
        "bayes": bayes.measure,
        "kept": kept.measure,
        "sieve": sieve.measure,
        "mailsort-install": mailsort_install.measure,
    }
    parser.add_argument("what", nargs="*", choices=[[], *runs], help="all of them if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=3000, help="in one run")
    given = parser.parse_args()
    print(f"{_machine()}\n")
    tables = [runs[name](given.rounds, given.messages) for name in given.what or runs]
    print("\n" + "\n".join(tables))
    return 0


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    versions = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} x {model}, {versions}"


if __name__ == "__main__":
    sys.exit(main())
