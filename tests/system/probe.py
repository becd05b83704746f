"""Whether machines can be booted on this host: `python -m tests.system.probe`.

Exit status 0 if they can; else 1 and one line that says why not. It tries what the harness does:
a bridge, a rule of iptables, and a container with a network of its own, here on this host's own
/usr. It looks for the programs first, so a host without them learns which package it lacks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid

from tests.system import network

PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "iptables": "iptables",
    "git": "git",
    "rbldnsd": "rbldnsd",
    "unbound": "unbound",
}
"""What the tests run on the host, and the Debian package that has it."""


NETWORK, NAME = "198.18.254.0/24", "iems-probe"
"""Not the bridge of a run, which may stand now."""


def obstacle() -> str:
    """Why no machine can be booted here, in one line; empty if one can."""
    if os.geteuid() != 0:
        return "machines are booted by root only"
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"no program {program}: apt-get install {package}"
    try:
        with network.bridge(NETWORK, NAME) as made:
            return _container(made)
    except OSError as error:
        return f"no private network: {error}"


def _container(made: network.Bridge) -> str:
    command = [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe",
        "--directory=/", "--volatile=yes", f"--machine=iems-{uuid.uuid4().hex[:8]}",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no",
        f"--network-bridge={made.name}", "/bin/true",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return "systemd-nspawn did not end within 60 s"
    if done.returncode != 0:
        words = " ".join((done.stdout + done.stderr).split())
        return f"systemd-nspawn ends with {done.returncode}: {words[-300:]}"
    return ""


def main() -> int:
    """The program."""
    reason = obstacle()
    if reason:
        print(reason)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
