"""Programs that are not ours gain no rights, with the unit of systemd and without."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import subprocess
from iems.serve.unprivileged import guard
words = [*guard(), "grep", "NoNewPrivs", "/proc/self/status"]
print(subprocess.run(words, capture_output=True, text=True))
"""
UNIT = """
import ctypes
import platform
import struct
call = {"x86_64": 126, "aarch64": 91}[platform.machine()]
load, equal, give, allow, refuse = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050001
rows = [(load, 0, 0, 0), (equal, 0, 1, call), (give, 0, 0, refuse), (give, 0, 0, allow)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
rule = ctypes.create_string_buffer(struct.pack("HP", len(rows), ctypes.addressof(code)))
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0
assert ctypes.CDLL(None).prctl(22, 2, rule) == 0
"""
"""What the units do: NoNewPrivileges, and of their filter that capset(2) is refused (EPERM)."""


@pytest.mark.parametrize("before", ["", UNIT], ids=["without", "within"])
def test_a_command_may_gain_no_rights(before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "returncode=0, stdout='NoNewPrivs:\\t1\\n'" in done.stdout
