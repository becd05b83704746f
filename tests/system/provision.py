"""From a bare machine to a mail server, by README's command in a fresh clone."""

from __future__ import annotations

import re
from pathlib import Path

from tests.system.machine import Machine

REPOSITORY = Path(__file__).parents[2]
CLONE = "/root/iems"
LIMIT = 900.0
"""Seconds for `make mailserver`; 150 on two idle cores."""

_RECAP = re.compile(r"changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")


def provision(machine: Machine, *arguments: str, check: bool = True, log: str = "first") -> str:
    """Run `make mailserver` with these arguments; what it printed.

    MachineError with the end of it if it fails; all of it is in the machine's logs.
    """
    if not machine.path(CLONE).exists():
        machine.clone(REPOSITORY, CLONE)
    command = ("make", "mailserver", *arguments)
    return machine.run(*command, cwd=CLONE, log=f"{log}.log", timeout=LIMIT, check=check).stdout


def recap(output: str) -> tuple[int, int]:
    """How many tasks of the playbook changed something, and how many failed."""
    found = _RECAP.search(output)
    assert found, output[-2000:]
    return int(found[1]), int(found[2]) + int(found[3])


def changes(output: str) -> str:
    """The tasks that changed something or failed, for the message of a test."""
    lines = output.splitlines()
    seen = [n for n, line in enumerate(lines) if line.startswith(("changed:", "fatal:"))]
    return "\n".join("\n".join(lines[max(0, n - 2) : n + 1]) for n in seen)
