"""`iems key create`: a keyring that loads, and never one that takes another's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import main
from iems.store.keys import Keyring


def test_a_new_keyring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "findings.toml"
    assert main(["key", "create", str(file)]) == 0
    keyring = Keyring.load(file)
    assert len(keyring.active.id) == 9
    told = capsys.readouterr().out
    assert told == f"wrote {file}\n"
    before = file.read_bytes()
    assert main(["key", "create", str(file)]) == 1
    assert file.read_bytes() == before
    assert f"{file} exists" in capsys.readouterr().err
