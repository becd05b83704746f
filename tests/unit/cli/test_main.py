"""The frame of the command line: it imports what it runs and nothing else, and its exit codes."""

from __future__ import annotations

import json
import os
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
    assert "75 a server could not answer now" in " ".join(" ".join(shown).split())
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


def test_who_is_not_allowed_and_who_gives_up_have_codes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends(error: BaseException) -> int:
        def fail(_arguments: object) -> int:
            raise error

        monkeypatch.setattr("cli.why.run", fail)
        return main(["why", "X"])

    assert ends(PermissionError(13, "Permission denied", "/etc/iems/iems.toml")) == 77
    told = capsys.readouterr().err
    assert told == "iems: /etc/iems/iems.toml: Permission denied; run it as root\n"
    assert ends(KeyboardInterrupt()) == 130


def test_a_reader_who_leaves_is_no_error() -> None:
    code = (
        "import sys, cli.key\n"
        "from cli.main import main\n"
        "cli.key.run = lambda arguments: print('x' * 100)\n"
        "sys.stdin.readline()\n"
        "sys.exit(main(['key', 'create', 'x']))\n"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=buffered,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdin
        assert program.stdout
        assert program.stderr
        program.stdout.close()
        program.stdin.close()
        assert program.stderr.read() == b""
        assert program.wait() == 0


def test_without_a_command_there_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--settings", str(tmp_path)])
    assert caught.value.code == USAGE
