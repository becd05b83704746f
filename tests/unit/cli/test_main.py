"""The frame of the command line: it imports what it runs and nothing else, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS, CONFIGURATION, USAGE, main

HEAVY = {"ldap", "dns", "sqlite3", "ssl", "imaplib", "email", "milters.chain", "socket"}


def test_help_imports_no_command() -> None:
    code = (
        "import json, sys\n"
        "from cli.main import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, modules = done.stdout.splitlines()
    assert not HEAVY & set(json.loads(modules))
    for name, summary in COMMANDS.items():
        assert any(name in line and summary[:20] in line for line in shown)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: iems {command}" in capsys.readouterr().out


def test_usage_and_settings_errors_have_codes_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nonsense"])
    assert caught.value.code == USAGE
    assert main(["--settings", str(tmp_path / "none.toml"), "why", "X"]) == CONFIGURATION
    assert "none.toml: cannot be read" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 9.8")
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "iems iems 9.8\n"
