"""Units and init scripts of the daemons: hardened, alike, and readable by their managers."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from pathlib import Path

import pytest

from iems.settings.bayes import BayesSettings

TEMPLATES = Path(__file__).parents[3] / "templates"
DAEMONS = ("iems-milter", "iems-lmtp", "iems-bayes")
MOST_EXPOSURE = 25
"""Of 100, systemd-analyze's own figure; it calls up to 4.9 of 10 "OK"."""


def unit(name: str) -> configparser.RawConfigParser:
    """The unit's sections; of a key that comes again the last value counts."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(TEMPLATES / "systemd" / name)
    return parser


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_unit_is_hardened(daemon: str) -> None:
    path = TEMPLATES / f"systemd/{daemon}.service"
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}"]
    done = subprocess.run(
        [*words, str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_unit_runs_the_daemon_as_its_own_user(daemon: str) -> None:
    service = unit(f"{daemon}.service")["Service"]
    assert (service["User"], service["Group"]) == (daemon, daemon)
    assert service["ExecStart"] == f"/opt/iems/current/bin/{daemon}"
    assert (service["Type"], service["KillMode"]) == ("notify", "mixed")


@pytest.mark.parametrize("daemon", ["iems-milter", "iems-lmtp"])
def test_the_socket_is_for_postfix_alone(daemon: str) -> None:
    held = unit(f"{daemon}.socket")["Socket"]
    assert held["ListenStream"] == f"/var/spool/postfix/iems/{daemon.removeprefix('iems-')}.sock"
    assert (held["SocketMode"], held["SocketGroup"]) == ("0660", "postfix")


def test_the_socket_for_training_is_where_dovecot_looks_and_for_those_who_train_alone() -> None:
    held = unit("iems-bayes.socket")["Socket"]
    assert (held["SocketMode"], held["SocketGroup"]) == ("0660", "iems-train")
    told = (TEMPLATES / "dovecot/dovecot.conf.j2").read_text()
    [folder] = re.findall(r"^  sieve_execute_socket_dir = (.*)$", told, re.MULTILINE)
    script = (TEMPLATES / "dovecot/sieve/learn.sieve").read_text()
    names = set(re.findall(r'execute :pipe "([^"]*)"', script))
    assert [os.path.normpath(f"/run/dovecot/{folder}/{name}") for name in names] == [
        held["ListenStream"]
    ]
    assert held["ListenStream"] == str(BayesSettings().socket)


def test_all_units_are_hardened_alike() -> None:
    own = {"User", "Group", "ExecStart", "ReadWritePaths", "RuntimeDirectory"}
    units = [dict(unit(f"{daemon}.service")["Service"]) for daemon in DAEMONS]
    first, *others = ({k: one[k] for k in one.keys() - own} for one in units)
    assert others == [first] * 2


def test_the_hold_of_queued_mail_follows_what_the_milter_writes() -> None:
    watched = unit("iems-flow-hold.path")["Path"]["PathChanged"]
    service = unit("iems-flow-hold.service")["Service"]
    assert watched == f"{unit('iems-milter.service')['Service']['ReadWritePaths'].split()[0]}/held"
    assert service["ExecStart"] == "/opt/iems/current/bin/iems flow hold"
    assert service["Type"] == "oneshot"
    assert (service["Restart"], service["RestartSec"]) == ("on-failure", "30")


@pytest.mark.parametrize("daemon", [*DAEMONS, "rsyslog"])
def test_the_init_script_is_one(daemon: str) -> None:
    script = TEMPLATES / "initd" / daemon
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env /lib/init/init-d-script\n### BEGIN INIT INFO\n")
    assert f"# Provides:          {daemon}" in text
    subprocess.run(["sh", "-n", str(script)], timeout=10, check=True)
