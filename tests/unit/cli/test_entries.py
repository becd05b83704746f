"""Who is named in the audit."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from cli.entries import operator

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize(
    ("loginuid", "sudo", "name"),
    [
        ("1", "bin", pwd.getpwuid(1).pw_name),
        ("4294967295", "bin", "bin"),
        ("4294967295", None, ME),
        ("4000000", "bin", "bin"),
        ("nonsense", None, ME),
        (None, "bin", "bin"),
    ],
)
def test_operator(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loginuid: str | None,
    sudo: str | None,
    name: str,
) -> None:
    """Who logged in, if the kernel knows and the user still exists; else who called sudo."""
    file = tmp_path / "loginuid"
    if loginuid is not None:
        file.write_text(loginuid)
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo:
        monkeypatch.setenv("SUDO_USER", sudo)
    assert operator(file) == name
