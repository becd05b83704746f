"""From a bare machine to a mail server, by README's command in a fresh clone."""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path

from tests.system.machine import Machine
from tests.system.server import DOMAIN
from tests.system.watch import first_answers

REPOSITORY = Path(__file__).parents[2]
CLONE = "/root/iems"
LIMIT = 900.0
"""Seconds for `make mailserver`; 150 on two idle cores."""

MET = "met.json"
"""In the machine's logs: what a stranger met at each port while the first run went on."""

_RECAP = re.compile(r"changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")


def provision(machine: Machine, *arguments: str, check: bool = True, log: str = "first") -> str:
    """Run `make mailserver` with these arguments; what it printed.

    MachineError with the end of it if it fails; all of it is in the machine's logs.
    """
    if not machine.path(CLONE).exists():
        machine.clone(REPOSITORY, CLONE)
    command = ("make", "mailserver", *arguments)
    return machine.run(*command, cwd=CLONE, log=f"{log}.log", timeout=LIMIT, check=check).stdout


def first_run(machine: Machine) -> str:
    """The command on a machine that was never a mail server, with a stranger at its ports."""
    with first_answers(machine.address) as met:
        told = provision(machine)
    (machine.logs / MET).write_text(json.dumps(met))
    return told


def met_ours(machine: Machine) -> None:
    """Whoever came during the first run met what was set up, never Debian's own configuration."""
    met = json.loads((machine.logs / MET).read_text())
    assert met["25"] == f"220 mail.{DOMAIN} ESMTP"
    assert ssl.PEM_cert_to_DER_cert(met["993"]) == self_signed(machine)
    assert "389" not in met


def self_signed(machine: Machine) -> bytes:
    """The certificate that the playbook made, or what stands in its place."""
    path = machine.path(f"/etc/iems/tls/self-signed-mail.{DOMAIN}.crt")
    return ssl.PEM_cert_to_DER_cert(path.read_text())


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
