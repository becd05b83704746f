"""What make tells: `make help` of everything that it can be asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

TREE = Path(__file__).parents[3]


def make(*words: str) -> str:
    """What make prints, without the make that may run this test."""
    environment = {"PATH": "/usr/bin:/bin", "HOSTNAME": "container-1"}
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=TREE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout


def test_help_is_the_default_and_complete() -> None:
    text = (TREE / "Makefile").read_text()
    targets = re.findall(r"^([a-z][\w-]*):", text, re.MULTILINE)
    assert re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE) == targets
    told = make()
    assert told == make("help")
    assert re.findall(r"^  make (\S+)", told, re.MULTILINE) == targets
    assert {"mailserver", "test", "unit", "check", "system", "bench", "dist"} <= set(targets)


def test_the_host_name_is_not_taken_from_the_environment() -> None:
    assert "hostname=mail.example.test " in make("--dry-run", "mailserver")
    assert "hostname=mail.a.test " in make("--dry-run", "mailserver", "DOMAIN=a.test")
    assert "hostname=mx.a.test " in make("--dry-run", "mailserver", "HOSTNAME=mx.a.test")


def test_a_tree_that_daemons_cannot_read_is_told_of_before_anything_is_installed(
    tmp_path: Path,
) -> None:
    make("_reachable")
    shutil.copy(TREE / "Makefile", tmp_path)
    tmp_path.chmod(0o700)
    told = subprocess.run(
        ["make", "--directory", tmp_path, "test"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == 2
    assert f"other users cannot read {tmp_path}: move it out of /root" in told.stderr
    assert "apt" not in told.stdout
