"""`iems check`: every fault with file, key, what stands there and what is expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import main
from iems.store.keys import create


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("cli.check._postconf", lambda _parameter: 30.0)
    (tmp_path / "conf.d").mkdir()
    create(tmp_path / "findings.toml", "k1")
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[directory]\nkind = "toml"\n[keys]\nfindings = "{tmp_path}/findings.toml"\n'
    )
    return tmp_path


def check(site: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = main(["--settings", str(site / "iems.toml"), "check", "--json"])
    faults: list[str] = json.loads(capsys.readouterr().out)["faults"]
    return code, faults


def test_good_settings(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings", str(site / "iems.toml"), "check"]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    assert check(site, capsys) == (0, [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[milter]\nworkers = 0\n", "milter.workers is 0; expected a whole number"),
        ('[dns]\nservers = ["here"]\n', "dns.servers is ['here']; 'here' is no DNS server"),
        ('[checks.dnsbl.a]\nmode = "enforce"\n', "checks.dnsbl.a.zone is missing"),
        ('[checks.iprev]\nmode = "delegate"\nx = 1\n', "checks.iprev.x is no setting"),
        ("[directory]\ntimeout = 20\n[dns]\ntimeout = 20\n", "expected less than Postfix's"),
    ],
)
def test_faults(site: Path, capsys: pytest.CaptureFixture[str], text: str, told: str) -> None:
    (site / "conf.d" / "more.toml").write_text(text)
    code, faults = check(site, capsys)
    assert code == 78
    assert len(faults) == 1
    assert told in faults[0]


def test_a_secret_that_others_can_read(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "findings.toml").chmod(0o644)
    code, faults = check(site, capsys)
    assert code == 78
    assert faults == [
        f"{site}/findings.toml: its mode is 0644; expected 0640 or less, it holds a secret"
    ]


def test_a_missing_keyring_is_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "findings.toml").unlink()
    _code, faults = check(site, capsys)
    assert any("findings.toml: cannot be read" in fault for fault in faults)


def test_the_zone_of_a_list_is_not_shown(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "conf.d" / "more.toml").write_text(
        '[checks.dnsbl.a]\nmode = "enforce"\nzone = "s3cret key.example"\n'
    )
    code, faults = check(site, capsys)
    assert code == 78
    assert "s3cret" not in str(faults)
