"""`iems check`: every fault with file, key, what stands there and what is expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.check import _seconds
from cli.main import main
from iems.store.keys import create


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("cli.check._postconf", lambda _parameter: 30.0)
    (tmp_path / "conf.d").mkdir()
    create(tmp_path / "findings.toml", "k1")
    (tmp_path / "directory.toml").write_text('[domains."example.test"]\n')
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[directory]\nkind = "toml"\nfile = "{tmp_path}/directory.toml"\n'
        f'[keys]\nfindings = "{tmp_path}/findings.toml"\n'
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


def test_a_directory_that_the_daemons_would_not_read(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "directory.toml").write_text("[users]\nx = 1\n")
    code, faults = check(site, capsys)
    assert code == 78
    assert len(faults) == 1
    assert f"{site}/directory.toml: " in faults[0]


def test_the_passwords_of_the_directory_server(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("milter", "agent", "admin")
    tables = (f'[{name}]\nldap_password_file = "{site}/ldap-{name}"\n' for name in names)
    (site / "conf.d" / "ldap.toml").write_text('[directory]\nkind = "ldap"\n' + "".join(tables))
    code, faults = check(site, capsys)
    assert code == 78
    assert len(faults) == 3
    assert all("cannot be read" in fault for fault in faults)
    for name in names:
        (site / f"ldap-{name}").touch(0o600)
        (site / f"ldap-{name}").write_text("secret\n")
    (site / "ldap-admin").chmod(0o660)
    assert check(site, capsys) == (
        78,
        [f"{site}/ldap-admin: its mode is 0660; expected 0640 or less, it holds a secret"],
    )


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o440])
def test_modes_that_suit_a_secret(
    site: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    (site / "findings.toml").chmod(mode)
    assert check(site, capsys) == (0, [])


@pytest.mark.parametrize(("timeout", "wrong"), [(12.4, 0), (12.5, 1)])
def test_all_waiting_together_is_less_than_postfix_s(
    site: Path, capsys: pytest.CaptureFixture[str], timeout: float, wrong: int
) -> None:
    text = f"[directory]\ntimeout = {timeout}\n[dns]\ntimeout = 12.5\n"
    (site / "conf.d" / "more.toml").write_text(text)
    assert len(check(site, capsys)[1]) == wrong


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800), ("1w", 604800), ("45", 45),
     ("", None), ("s", None), ("1x", None), ("1ms", None), ("$other", None)],
)  # fmt: skip
def test_times_of_postfix(value: str, seconds: float | None) -> None:
    assert _seconds(value) == seconds


def test_faults_are_told_to_people_too(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "findings.toml").chmod(0o604)
    assert main(["--settings", str(site / "iems.toml"), "check"]) == 78
    assert "its mode is 0604" in capsys.readouterr().err


def test_the_zone_of_a_list_is_not_shown(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "conf.d" / "more.toml").write_text(
        '[checks.dnsbl.a]\nmode = "enforce"\nzone = "s3cret key.example"\n'
    )
    code, faults = check(site, capsys)
    assert code == 78
    assert "s3cret" not in str(faults)
