"""The harness itself: a machine boots, reaches the registries, and leaves nothing behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.system.machine import Machine, MachineError, machine
from tests.system.world import DELEGATED, ON_DELEGATED, World


def test_boots_without_a_failed_unit(bare: Machine) -> None:
    assert bare.shell("systemctl is-system-running") == "running\n"
    assert bare.shell("systemctl --failed --plain --no-legend") == ""


def test_reaches_the_package_registries(bare: Machine) -> None:
    bare.run("apt-get", "update", timeout=300)
    bare.shell("DEBIAN_FRONTEND=noninteractive apt-get -qq install python3-venv", timeout=300)
    bare.shell("python3 -m venv v && v/bin/pip download -q -d packages dnspython")
    assert list(bare.path("/root/packages").glob("dnspython-*"))


def test_sees_the_world(bare: Machine, outside: World) -> None:
    client = outside.client(ON_DELEGATED)
    reverse = ".".join(reversed(client.split(".")))
    script = f"getent hosts {client}; getent hosts {reverse}.{DELEGATED}"
    names = bare.shell(script).split()
    assert names == [client, "delegated.world.test", "127.0.0.2", f"{reverse}.{DELEGATED}"]


def test_a_failed_command_shows_its_output(bare: Machine) -> None:
    with pytest.raises(MachineError, match="no such thing"):
        bare.run("sh", "-c", "echo no such thing; exit 3", log="failed.log")


def test_without_systemd_no_daemon_starts_at_installation(outside: World, tmp_path: Path) -> None:
    name = "plain.example.test"
    with machine(outside.bridge, tmp_path, number=11, hostname=name, systemd=False) as made:
        assert made.shell("cat /proc/1/comm").strip() != "systemd"
        assert made.run("/usr/sbin/policy-rc.d", check=False).returncode == 101
        tree = made.tree
    assert not tree.exists()
    assert subprocess.run(["pgrep", "-f", str(tree)], check=False).returncode == 1
