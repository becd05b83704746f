"""`iems virus-matrix show`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import CONFIGURATION, NEGATIVE, OK, main

SITE = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
"""
VIRUS = """
[checks.virus]
mode = "enforce"
engines = { clamav = { kind = "clamd", server = "unix:/run/clamav/clamd.ctl" } }
"""
MATRIX = """
notify = ["postmaster"]
[checks.virus.matrix.partners]
local = { infected = "tag", temperror = "deliver", notify = ["sender", "recipient"] }
"*" = { notify = [] }
[checks.virus.matrix."*"]
local = { infected = "quarantine" }
internet = { infected = "reject" }
"""


def show(folder: Path, settings: str, *words: str) -> int:
    file = folder / "iems.toml"
    file.write_text(settings)
    return main(["--settings", str(file), "virus-matrix", "show", *words])


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path, SITE + VIRUS + MATRIX) == OK
    assert capsys.readouterr().out == (
        "source      destination  infected    encrypted  unscanned   temperror  notify\n"
        "internet    local        quarantine  deliver    quarantine  defer      postmaster\n"
        "internet    internet     reject      deliver    reject      defer      postmaster\n"
        "submission  local        quarantine  deliver    quarantine  defer      postmaster\n"
        "submission  internet     reject      deliver    reject      defer      postmaster\n"
        "local       local        quarantine  deliver    quarantine  defer      postmaster\n"
        "local       internet     hold        deliver    hold        hold       postmaster\n"
        "partners    local        tag         deliver    quarantine  deliver    recipient, sender\n"
        "partners    internet     reject      deliver    reject      defer      -\n"
        "*           local        quarantine  deliver    quarantine  defer      postmaster\n"
        "*           internet     reject      deliver    reject      defer      postmaster\n"
    )


def test_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path, SITE + VIRUS, "--json") == OK
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 8
    assert rows[-2] == {
        "source": "*",
        "destination": "local",
        "infected": "reject",
        "encrypted": "deliver",
        "unscanned": "quarantine",
        "temperror": "defer",
        "notify": [],
    }


def test_without_the_check_or_with_a_hole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(tmp_path, SITE) == NEGATIVE
    assert "no check looks for viruses" in capsys.readouterr().err
    assert show(tmp_path, SITE + VIRUS + MATRIX.replace("internet =", "# internet =")) == (
        CONFIGURATION
    )
    assert 'checks.virus.matrix."*".internet is missing' in capsys.readouterr().err
