"""`make help` tells of everything that make can be asked for."""

from __future__ import annotations

import re
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
