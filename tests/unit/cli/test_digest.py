"""`iems digest`: who wants no digest is listed, taken off and put on again."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from cli.main import main
from iems.store.digest import FILE, Digests

SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
agent = {{ state = "{state}" }}
"""


@pytest.fixture
def settings(tmp_path: Path) -> str:
    file = tmp_path / "iems.toml"
    file.write_text(SETTINGS.format(state=tmp_path))
    return str(file)


def test_off_and_on_again(settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for verb in ("off", "off", "on", "on"):
        assert main(["--settings", settings, "digest", verb, "Bob@example.test"]) == 0
        told.append(capsys.readouterr().out)
    of = "digest of bob@example.test"
    assert told == [
        *(f"set {of}: off\n", f"unchanged {of}: off\n"),
        *(f"set {of}: on\n", f"unchanged {of}: on\n"),
    ]


def test_who_wants_none_is_listed(
    settings: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Digests(tmp_path / FILE)) as digests:
        for user in ("b\nb@b.test", "a@b.test"):
            digests.refuse(user)
    assert main(["--settings", settings, "digest", "list"]) == 0
    assert capsys.readouterr().out == "a@b.test\nb?b@b.test\n"
    assert main(["--settings", settings, "digest", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == [{"address": "a@b.test"}, {"address": "b\nb@b.test"}]


def test_what_cannot_be_written_is_tried_later(
    settings: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE).mkdir()
    assert main(["--settings", settings, "digest", "off", "bob@example.test"]) == 75
    assert FILE in capsys.readouterr().err


def test_it_is_for_root(
    settings: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--settings", settings, "digest", "list"]) == 77
    assert "only root" in capsys.readouterr().err
