"""The tree of a fresh Debian 12, built once by debootstrap and copied for each machine.

It holds what a new server has before anybody worked on it, not what the playbook installs. The
tree is kept below `CACHE` and built anew when its recipe changes or after `MAX_AGE`. It is
complete or not there: debootstrap works in a folder of another name, which is renamed at the end.
A debootstrap that fails raises `BaseError` with the end of its log.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system import host

SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv", "dbus", "udev", "kmod", "procps", "iproute2", "iputils-ping", "netbase",
    "cron", "logrotate", "less", "tzdata", "ca-certificates", "sudo",
    # What README asks of the machine before its first command.
    "git", "make", "python3",
)  # fmt: skip
"""minbase and the daemons and tools that Debian's installer puts on every machine."""

MAX_AGE = 7 * 86400.0
"""Seconds. Older trees spend more on upgrades than debootstrap takes (65 s on two cores)."""

CACHE = Path(os.environ.get("IEMS_SYSTEM_CACHE", "/var/tmp/iems-system"))  # noqa: S108


class BaseError(Exception):
    """The tree of Debian could not be built; the message carries the end of the log."""


def copy_tree(name: str) -> Path:
    """A copy of the tree for one machine, below `CACHE`; the caller removes it."""
    mirror = host.debian_sources(SUITE).mirror
    recipe = "\n".join((SUITE, mirror, *PACKAGES))
    tree = CACHE / f"{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    target = CACHE / "machines" / name
    with lock("base"):
        if not _fresh(tree):
            _build(tree, mirror)
        target.parent.mkdir(exist_ok=True)
        copy = ["cp", "-a", "--reflink=auto", str(tree), str(target)]
        subprocess.run(copy, check=True, timeout=300)
    return target


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold one of the locks of `CACHE`; BlockingIOError if another process holds it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _fresh(tree: Path) -> bool:
    try:
        return time.time() - tree.stat().st_ctime < MAX_AGE
    except FileNotFoundError:
        return False


def _build(tree: Path, mirror: str) -> None:
    for old in CACHE.glob(f"{SUITE}-*"):
        shutil.rmtree(old)
    partial = tree.with_suffix(".partial")
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        SUITE,
        str(partial),
        mirror,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise BaseError(f"{' '.join(command)}: exit status {done.returncode}\n{tail}")
    shutil.rmtree(partial / "var/cache/apt/archives", ignore_errors=True)
    (partial / "var/cache/apt/archives/partial").mkdir(parents=True)
    partial.rename(tree)
