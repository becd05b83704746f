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

HALT_LIMIT = 120.0
"""Seconds until an orderly shutdown is over: 90 s is what systemd gives a unit by default."""

POLICY_RC_D = """#!/bin/sh
exit 101
"""
"""What images for containers ship: no daemon starts while its package is installed."""


class MachineError(Exception):
    """The machine did not come up, or a command in it failed."""


@dataclass(slots=True)
class Machine:
    """A machine that runs; `init` is its process 1, seen from the host."""

    name: str
    tree: Path
    bridge: Bridge
    address: str
    logs: Path
    systemd: bool
    environment: dict[str, str] = field(default_factory=host.variables)
    init: int = 0
    nspawn: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Start it and wait until it has its address and, with systemd, has started everything."""
        with (self.logs / "console.log").open("ab") as console:
            self.nspawn = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.init = eventually(self._process_1, BOOT_LIMIT, "process 1 of the machine")
        eventually(self._connected, BOOT_LIMIT, "the machine's address")
        if self.systemd:
            eventually(self._booted, BOOT_LIMIT, "systemd's state running or degraded")

    def reboot(self) -> None:
        """Shut it down as an administrator would, and start it again."""
        assert self.nspawn is not None
        self.run("systemctl", "poweroff", check=False)
        self.nspawn.wait(timeout=HALT_LIMIT)
        self.boot()

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
        if self.init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
        if self.nspawn is not None:
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

    def _command(self) -> list[str]:
        command = [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe",
            "--resolv-conf=off", "--timezone=off", "--link-journal=no",
            f"--directory={self.tree}", f"--machine={self.name}",
            f"--network-bridge={self.bridge.name}",
            *(f"--bind-ro={folder}" for folder in host.client_folders()),
        ]  # fmt: skip
        return command + (["--boot"] if self.systemd else ["--as-pid2", "sleep", "infinity"])

    def _process_1(self) -> int:
        """The child of nspawn that is process 1 of its own namespace, or 0 if there is none yet."""
        assert self.nspawn is not None
        pid = self.nspawn.pid
        if self.nspawn.poll() is not None:
            console = (self.logs / "console.log").read_text(errors="replace")
            raise MachineError(f"systemd-nspawn ended with {self.nspawn.returncode}:\n{console}")
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if f"NSpid:\t{child}\t1\n" in Path(f"/proc/{child}/status").read_text():
                    return int(child)
        return 0

    def _connected(self) -> bool:
        # The tools are there as soon as nspawn has changed the root.
        script = (
            "ip link set lo up; ip link set host0 up; "
            f"ip address replace {self.address}/{self.bridge.network.prefixlen} dev host0; "
            f"ip route replace default via {self.bridge.host}"
        )
        return self.run("sh", "-ec", script, check=False).returncode == 0

    def _booted(self) -> bool:
        """`degraded` is told apart by the smoke test."""
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}


@contextmanager
def machine(
    bridge: Bridge, logs: Path, *, number: int, hostname: str, systemd: bool = True
) -> Iterator[Machine]:
    """A fresh machine with address `number` of the bridge, stopped at the end of the context."""
    logs.mkdir(parents=True, exist_ok=True)
    name = f"iems-{uuid.uuid4().hex[:8]}"
    tree = base.copy_tree(name)
    made = Machine(name, tree, bridge, bridge.address(number), logs, systemd)
    try:
        _prepare(made, hostname)
        made.boot()
        yield made
    finally:
        made.stop()


def remove_leftovers() -> None:
    """End the machines that a killed run left behind, and remove their trees."""
    place = base.CACHE / "machines"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _belongs(entry, str(place)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
    shutil.rmtree(place, ignore_errors=True)


def _belongs(process: Path, place: str) -> bool:
    """Whether this is a process of a machine below `place`, or the nspawn that holds one."""
    try:
        command = (process / "cmdline").read_bytes().decode(errors="replace")
        mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    except OSError:
        return False
    roots = [fields[3] for fields in mounts if fields[4] == "/"]
    # Field 4 of mountinfo is the root's folder as its own file system has it (proc(5)).
    inside = any(root.startswith(f"{place}/") for root in roots)
    return inside or (command.startswith("systemd-nspawn") and f"={place}/" in command)


def _prepare(made: Machine, hostname: str) -> None:
    tree = made.tree
    host.carry_over(tree, host.debian_sources(base.SUITE))
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text(f"nameserver {made.bridge.host}\n")
    (tree / "etc/hostname").write_text(f"{hostname}\n")
    names = f"{made.address} {hostname} {hostname.partition('.')[0]}"
    (tree / "etc/hosts").write_text(f"127.0.0.1 localhost\n{names}\n")
    if not made.systemd:
        policy = tree / "usr/sbin/policy-rc.d"
        policy.write_text(POLICY_RC_D)
        policy.chmod(0o755)
