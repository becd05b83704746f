"""The init scripts with the daemons themselves, under their own users, by Debian's own library.

Of a script three places are replaced: the program, by one with settings of this run, the folder of
its pid file, and how long it waits for a daemon that does not begin.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.stack.daemons import Site
from tests.integration.stack.ground import Ground, accepts_unix, owned
from tests.integration.stack.process import kill, parent, processes_below
from tests.waiting import eventually

_SETTINGS = """\
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
kind = "toml"
file = "{file}"
"""
_MODULES = {"iems-milter": "milters.main", "iems-lmtp": "lmtp.main"}


@dataclass(frozen=True)
class Script:
    """An init script, and the daemon that it is for."""

    name: str
    path: Path
    pid_file: Path
    socket: Path
    log: Path

    def __call__(self, word: str) -> int:
        """Its exit code; the environment is a boot's."""
        done = subprocess.run(
            [str(self.path), word],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=50,
            check=False,
        )
        return done.returncode

    @property
    def pid(self) -> int:
        """The process that the pid file names."""
        return int(self.pid_file.read_text())

    def workers(self) -> set[int]:
        """The children of the supervisor."""
        return {pid for pid in processes_below(self.log.parent) if parent(pid) == self.pid}

    def renewed(self, before: int, old: set[int]) -> set[int]:
        """The workers once there are more than `before` new settings and none is an `old` one."""
        eventually(lambda: self.logged("new settings") > before, 20)
        eventually(lambda: self.workers() and not self.workers() & old, 20)
        return self.workers()

    def logged(self, text: str) -> int:
        """How many lines of the log hold `text`."""
        return self.log.read_text().count(text)


@pytest.fixture(params=_MODULES)
def script(ground: Ground, request: pytest.FixtureRequest) -> Iterator[Script]:
    """The script of each daemon; whatever it started is gone afterwards."""
    name = request.param
    sockets = owned(ground.place("sockets"), "root", "postfix", 0o2770)
    site = Site(ground, sockets, "")
    site.write("directory.toml", "")
    site.write("iems.toml", _SETTINGS.format(file=site.etc / "directory.toml"))
    log = site.folder / "log"
    log.touch()
    owned(log, name, name, 0o640)
    program = site.folder / name
    program.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1\n"
        f"exec {sys.executable} -m {_MODULES[name]} --settings {site.settings} --foreground-log"
        f" >>{log} 2>&1\n"
    )
    path = site.folder / "init"
    text = (ROOT / "templates/initd" / name).read_text()
    text = text.replace("/opt/iems/current/bin/$NAME", str(program))
    text = text.replace("--notify-timeout 60", "--notify-timeout 5")
    path.write_text(text.replace("/run/iems", str(site.folder / "run")))
    for one in (program, path):
        one.chmod(0o755)
    socket = site.milter_socket if name == "iems-milter" else site.agent_socket
    yield Script(name, path, site.folder / "run" / f"{name}.pid", socket, log)
    left = processes_below(site.folder)
    for pid in left:
        kill(pid, signal.SIGKILL)
    assert not left


def test_it_starts_tells_and_stops(script: Script) -> None:
    assert script("status") == 3
    assert script("start") == 0
    # It returns when the daemon is ready, and not before.
    assert accepts_unix(script.socket)
    first = script.pid
    assert pwd.getpwuid(Path(f"/proc/{first}").stat().st_uid).pw_name == script.name
    assert script("status") == 0
    assert script("start") == 0
    assert script.pid == first
    assert script("stop") == 0
    assert not Path(f"/proc/{first}").exists()
    assert not script.pid_file.exists()
    assert script.logged(": ended") == 1
    assert script("status") == 3
    assert script("stop") == 0


def test_a_reload_and_a_restart_keep_the_socket_and_change_the_workers(script: Script) -> None:
    assert script("restart") == 0
    supervisor, workers = script.pid, script.workers()
    assert accepts_unix(script.socket)
    for word, images in (("reload", 0), ("restart", 1)):
        before, inode = script.logged("new settings"), script.socket.stat().st_ino
        assert script(word) == 0
        workers = script.renewed(before, workers)
        assert script.pid == supervisor
        assert script.socket.stat().st_ino == inode
        assert script.logged("becoming the next image") == images
    assert script("stop") == 0


def test_a_daemon_that_died_is_told_and_started_again(script: Script) -> None:
    assert script("start") == 0
    first = script.pid
    os.kill(first, signal.SIGKILL)
    # The library takes a dead process for a live one until init has collected it.
    eventually(lambda: not processes_below(script.log.parent))
    eventually(lambda: not Path(f"/proc/{first}").exists())
    assert script("status") == 1
    assert script("reload") != 0
    assert script("restart") == 0
    assert script.pid != first
    assert script("stop") == 0


def test_a_daemon_that_does_not_begin_is_a_failed_start(script: Script) -> None:
    (script.log.parent / "etc/iems.toml").write_text("nonsense")
    assert script("start") != 0
