"""The init scripts with the daemons themselves, under their own users, by Debian's own library.

Of a script two places are replaced: the program, by one with settings of this run, and the folder
of its pid file.
"""

from __future__ import annotations

import os
import pwd
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
_CAP_SYS_RESOURCE = 24
_MODULES = {
    "iems-milter": "milters.main",
    "iems-lmtp": "lmtp.main",
    "iems-bayes": "lmtp.learning.main",
}


@dataclass(frozen=True)
class Script:
    """An init script, and the daemon that it is for."""

    name: str
    path: Path
    pid_file: Path
    socket: Path
    log: Path

    def __call__(self, word: str, before: str = ":") -> int:
        """Its exit code; the environment is a boot's, but for what a shell did `before`."""
        done = subprocess.run(
            ["/bin/sh", "-c", f'{before}; exec "$0" "$1"', str(self.path), word],
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
    path.write_text(text.replace("/run/iems", str(site.folder / "run")))
    for one in (program, path):
        one.chmod(0o755)
    found = {"iems-milter": site.milter_socket, "iems-lmtp": site.agent_socket}
    socket = found.get(name, site.bayes_socket)
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
    """At once: the script would wait for a minute if nobody told it."""
    begun = time.monotonic()
    (script.log.parent / "etc/iems.toml").write_text("nonsense")
    assert script("start") != 0
    assert time.monotonic() - begun < 45
    eventually(lambda: not processes_below(script.log.parent))


def test_every_process_is_confined(script: Script) -> None:
    """As by the unit: no privileges and none to be had, the same limits, whatever the caller's."""
    assert script("start", "ulimit -S -n 512; ulimit -S -c unlimited; umask 0") == 0
    files = _files()
    for pid in {script.pid, *eventually_some(script.workers)}:
        place = Path(f"/proc/{pid}")
        status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines())
        assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        assert status["Umask"] == "0007"
        limits = (place / "limits").read_text()
        assert re.search(rf"^Max open files +{files} +{files} ", limits, re.MULTILINE)
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
        user = pwd.getpwnam(script.name)
        assert status["Uid"].split() == [str(user.pw_uid)] * 4
        assert status["Gid"].split() == [str(user.pw_gid)] * 4
        groups = os.getgrouplist(script.name, user.pw_gid)
        assert set(map(int, status["Groups"].split())) == set(groups)
    assert script("stop") == 0


def _files() -> int:
    """How many open files the script can give: what it wants, or what root may have here."""
    own = Path("/proc/self/status").read_text()
    [effective] = re.findall(r"^CapEff:\t(.*)$", own, re.MULTILINE)
    may_raise = int(effective, 16) >> _CAP_SYS_RESOURCE & 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 65536 if may_raise else min(65536, hard)


def eventually_some(workers: Callable[[], set[int]]) -> set[int]:
    """The workers, as soon as there are any."""
    eventually(workers, 20)
    return workers()
