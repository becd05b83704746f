"""How a daemon finds its own next image."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iems.serve.handover import command, only_check, taken_over


def test_a_script_is_run_by_its_link_so_that_a_newer_release_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "1.0"
    old.mkdir()
    (old / "iems-milter").write_text("#!/usr/bin/python3\n")
    (old / "iems-milter").chmod(0o755)
    current = tmp_path / "current"
    current.symlink_to(old)
    monkeypatch.setattr(sys, "argv", [str(current / "iems-milter"), "--settings", "x"])
    assert command() == [str(current / "iems-milter"), "--settings", "x"]


def test_a_module_is_run_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "main.py"
    module.write_text("")
    monkeypatch.setattr(sys, "argv", [str(module), "x"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "milters.main", "x"])
    assert command() == [sys.executable, "-m", "milters.main", "x"]


def test_a_first_start_takes_nothing_over() -> None:
    environment = {"OTHER": "x"}
    assert taken_over(environment) is None
    assert not only_check(environment)
    assert only_check({"IEMS_SERVE": "check"})
