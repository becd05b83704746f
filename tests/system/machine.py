"""One Debian machine in a container of systemd-nspawn, with or without systemd as process 1.

The machine gets a copy of the base tree, an address on the bridge and the host's way to the
package registries. Commands enter it through the namespaces of its process 1, as root, with an
environment of their own. Nothing is registered with a systemd of the host: there need not be one.
A machine that does not come up raises `MachineError` with what its console said. `stop` ends
every process in it and removes its tree.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.system import base, host
from tests.system.network import Bridge
from tests.waiting import eventually

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_LIMIT = 60.0
"""Seconds; 4 on two idle cores."""

POLICY_RC_D = """#!/bin/sh
exit 101
"""
"""What images for containers ship: no daemon starts while its package is installed."""


class MachineError(Exception):
    """The machine did not come up, or a command in it failed."""


@dataclass(slots=True)
class Machine:
    """A machine that runs."""

    name: str
    tree: Path
    address: str
    init: int
    """Process id of the machine's process 1, seen from the host."""

    nspawn: subprocess.Popen[bytes]
    logs: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        *command: str,
        stdin: str = "",
        check: bool = True,
        timeout: float = 60.0,
        log: str = "",
        cwd: str = "/root",
        user: str = "root",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; with `log` its output goes to that file of `logs`, as it comes.

        MachineError with the end of the output if `check` and the exit status is not 0.
        """
        entered = self._enter(command, cwd, user)
        if not log:
            done = subprocess.run(
                entered, input=stdin, capture_output=True, text=True, check=False, timeout=timeout
            )
        else:
            path = self.logs / log
            with path.open("w") as out:
                status = subprocess.run(
                    entered,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    check=False,
                    timeout=timeout,
                ).returncode
            done = subprocess.CompletedProcess(entered, status, path.read_text(), "")
        if check and done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-60:])
            raise MachineError(f"{' '.join(command)}: exit status {done.returncode}\n{tail}")
        return done

    def shell(self, script: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Run a script of the shell; its standard output."""
        return self.run("sh", "-euc", script, check=check, timeout=timeout).stdout

    def start(self, *command: str, cwd: str = "/root") -> subprocess.Popen[str]:
        """Start a command that runs beside the test; the caller waits for it."""
        return subprocess.Popen(
            self._enter(command, cwd, "root"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def path(self, inside: str) -> Path:
        """A file of the machine as the host sees it."""
        return self.tree / inside.lstrip("/")

    def clone(self, repository: Path, target: str = "/root/iems") -> str:
        """A fresh clone of what is committed, as a user would have it; its path inside."""
        source = repository.resolve().as_uri()
        command = ["git", "clone", "--quiet", "--depth=1", source, str(self.path(target))]
        subprocess.run(command, check=True, timeout=120)
        return target

    def stop(self) -> None:
        """End the machine with all its processes, and remove its tree."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        try:
            self.nspawn.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait(timeout=30)
        shutil.rmtree(self.tree, ignore_errors=True)

    def _enter(self, command: tuple[str, ...], cwd: str, user: str) -> list[str]:
        variables = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}
        variables |= self.environment
        settings = [f"{name}={value}" for name, value in variables.items()]
        switch = [] if user == "root" else ["runuser", "-u", user, "--"]
        space = ["nsenter", "--target", str(self.init), "--all", f"--wdns={cwd}"]
        return [*space, "env", "-i", *settings, *switch, *command]


@contextmanager
def machine(
    bridge: Bridge, logs: Path, *, number: int, hostname: str, systemd: bool = True
) -> Iterator[Machine]:
    """A fresh machine with address `number` of the bridge, stopped at the end of the context."""
    logs.mkdir(parents=True, exist_ok=True)
    name = f"iems-{uuid.uuid4().hex[:8]}"
    tree = base.copy_tree(name)
    address = bridge.address(number)
    _prepare(tree, bridge, address, hostname, systemd=systemd)
    nspawn = _nspawn(tree, name, bridge, logs, systemd=systemd)
    try:
        init = _init_of(nspawn, logs)
        made = Machine(name, tree, address, init, nspawn, logs, host.variables())
        try:
            _connect(made, bridge)
            if systemd:
                _booted(made)
            yield made
        finally:
            made.stop()
    finally:
        if nspawn.poll() is None:
            nspawn.kill()
        shutil.rmtree(tree, ignore_errors=True)


def _prepare(tree: Path, bridge: Bridge, address: str, hostname: str, *, systemd: bool) -> None:
    host.carry_over(tree, host.debian_sources(base.SUITE))
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text(f"nameserver {bridge.host}\n")
    (tree / "etc/hostname").write_text(f"{hostname}\n")
    short = hostname.partition(".")[0]
    (tree / "etc/hosts").write_text(f"127.0.0.1 localhost\n{address} {hostname} {short}\n")
    if not systemd:
        policy = tree / "usr/sbin/policy-rc.d"
        policy.write_text(POLICY_RC_D)
        policy.chmod(0o755)


def _nspawn(
    tree: Path, name: str, bridge: Bridge, logs: Path, *, systemd: bool
) -> subprocess.Popen[bytes]:
    command = [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no",
        f"--directory={tree}", f"--machine={name}", f"--network-bridge={bridge.name}",
        *(f"--bind-ro={folder}" for folder in host.client_folders()),
    ]  # fmt: skip
    command += ["--boot"] if systemd else ["--as-pid2", "sleep", "infinity"]
    with (logs / "console.log").open("wb") as console:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _init_of(nspawn: subprocess.Popen[bytes], logs: Path) -> int:
    """The child of nspawn that is process 1 of its own namespace."""

    def find() -> int:
        if nspawn.poll() is not None:
            console = (logs / "console.log").read_text(errors="replace")
            raise MachineError(f"systemd-nspawn ended with {nspawn.returncode}:\n{console}")
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
        for child in map(int, children):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{child}/status").read_text()
                if f"NSpid:\t{child}\t1\n" in status:
                    return child
        return 0

    return eventually(find, BOOT_LIMIT, "process 1 of the machine")


def _connect(made: Machine, bridge: Bridge) -> None:
    prefix = bridge.network.prefixlen

    def connected() -> bool:
        # The tools are there as soon as nspawn has changed the root.
        script = (
            "ip link set lo up; ip link set host0 up; "
            f"ip address replace {made.address}/{prefix} dev host0; "
            f"ip route replace default via {bridge.host}"
        )
        return made.run("sh", "-ec", script, check=False).returncode == 0

    eventually(connected, BOOT_LIMIT, "the machine's address")


def _booted(made: Machine) -> None:
    """Wait until systemd has started everything; `degraded` is told apart by the smoke test."""

    def state() -> bool:
        seen = made.run("systemctl", "is-system-running", check=False).stdout.strip()
        return seen in {"running", "degraded"}

    eventually(state, BOOT_LIMIT, "systemd's state running or degraded")
