"""`iems check`: every fault with file, key, what stands there and what is expected.

Postfix's configuration is read by the real postconf(1), from a folder of the test's own.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from cli.check import live
from cli.main import main
from cli.postfix import Milter, milters, seconds
from iems.serve.status import STALE, Status, publish
from iems.settings.load import Written, read_files
from iems.settings.schema import AgentSettings, MilterSettings
from tests import shouting
from tests.unit.cli.conftest import Site


def test_good_settings(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings", str(site.folder / "iems.toml"), "check"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{site.folder}/iems.toml: nothing is wrong\n"
    assert told.err == ""
    assert site.check("--strict") == 0
    assert (site.faults, site.warnings) == ([], [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[milter]\nworkers = 0\n", "milter.workers is 0; expected a whole number"),
        ('[dns]\nservers = ["here"]\n', "dns.servers is ['here']; 'here' is no DNS server"),
        ('[checks.dnsbl.a]\nmode = "enforce"\n', "checks.dnsbl.a.zone is missing"),
        ('[checks.iprev]\nmode = "delegate"\nx = 1\n', "checks.iprev.x is no setting"),
        (
            '[checks.dnsbl."B.c"]\nmode = "enforce"\nzone = "b.test"\nmask = 1\n',
            'checks.dnsbl."B.c".mask is 1; expected a list of IP networks',
        ),
        ("[dns]\ntimeout = 20\n", "expected less than Postfix's milter_command_timeout of 30 s"),
        ("exact = true\n[dns]\ntimeout = 8\n", "9 s for records, counts, attachments and"),
        (
            "exact = true\n[dns]\ntimeout = 7\n[checks.flow]\nmode = 'enforce'\n"
            "limits = { a = { count = 'messages', per = 'user', limit = 1, window = 60 } }\n"
            "[directory]\ntimeout = 5\n",
            "11 s for records, counts, attachments and plug-ins are 30 s",
        ),
    ],
)
def test_a_fault_names_its_file(site: Site, text: str, told: str) -> None:
    site.settings(text)
    assert site.check() == 78
    (fault,) = site.faults
    assert fault.startswith(f"{site.folder}/conf.d/more.toml: ")
    assert told in fault


def test_what_is_missing_is_shown_as_it_is_written(site: Site) -> None:
    (site.folder / "iems.toml").write_text('version = 1\nhostname = "mail.example.test"\n')
    assert site.check() == 78
    assert site.faults == [
        f"{site.folder}/iems.toml: postmaster is missing; expected whom notices go to, as in "
        'postmaster = "postmaster@example.org"'
    ]


def test_a_secret_that_others_can_read(site: Site) -> None:
    file = site.folder / "findings.toml"
    file.chmod(0o644)
    assert site.check() == 78
    assert site.faults == [
        f"{file}: its mode is 0644; expected 0640 or less, it holds a secret: chmod 0640 {file}, "
        "and make a new secret if others could read it"
    ]


def test_a_missing_keyring_is_told_with_the_command_that_makes_one(site: Site) -> None:
    file = site.folder / "findings.toml"
    file.unlink()
    assert site.check() == 78
    (fault,) = site.faults
    assert fault.startswith(f"{file}: cannot be read: ")
    assert fault.endswith(f"; make one: iems key create {file}")
    assert main(["key", "create", str(file)]) == 0
    site.capsys.readouterr()
    assert site.check() == 0
    file.write_text("[[key]]\n")
    assert site.check() == 78
    assert "key create" not in site.faults[0]


def test_a_directory_that_the_daemons_would_not_read(site: Site) -> None:
    (site.folder / "directory.toml").write_text("[users]\nx = 1\n")
    assert site.check() == 78
    (fault,) = site.faults
    assert f"{site.folder}/directory.toml: " in fault


def test_a_file_of_notices_that_cannot_be_used(site: Site) -> None:
    file = site.folder / "removed.de.toml"
    file.write_text("removed = '$nam'\nkept = 'x'\n")
    site.settings(f'[attachments]\nnotices = {{ de = "{file}" }}\n')
    assert site.check() == 78
    (fault,) = site.faults
    assert fault.startswith(f"attachments.notices.de: {file} cannot be used: removed: expected")


def test_the_passwords_of_the_directory_server(site: Site) -> None:
    names, folder = ("milter", "agent", "admin"), site.folder
    tables = (f'[{name}]\nldap_password_file = "{folder}/ldap-{name}"\n' for name in names)
    site.settings('[directory]\nkind = "ldap"\n' + "".join(tables))
    assert site.check() == 78
    assert len(site.faults) == 3
    for name, fault in zip(names, site.faults, strict=True):
        assert fault.startswith(f"{folder}/ldap-{name}: cannot be read: ")
        assert f"; write the password of cn={name},ou=services,o=iems there" in fault
    for name in names:
        (folder / f"ldap-{name}").touch(0o600)
        (folder / f"ldap-{name}").write_text("secret\n")
    (folder / "ldap-admin").chmod(0o660)
    assert site.check() == 78
    (fault,) = site.faults
    assert fault.startswith(f"{folder}/ldap-admin: its mode is 0660; expected 0640 or less")


@pytest.mark.parametrize(("name", "same"), [("counters", [False, True]), ("bayes", [True, False])])
def test_the_password_of_a_server_that_machines_share(
    site: Site, name: str, same: list[bool]
) -> None:
    file = site.folder / name
    table = f'[{name}]\nserver = "unix:/s"\npassword_file = "{file}"\n'
    site.settings(table)
    assert site.check() == 0, "nobody logs in"
    site.settings(f'{table}user = "iems"\n')
    assert site.check() == 78
    (fault,) = site.faults
    assert fault.startswith(f"{file}: cannot be read: ")
    assert fault.endswith("; write the password of iems there, for root and group iems")
    file.touch(0o644)
    file.write_text("secret\n")
    assert site.check() == 78
    (fault,) = site.faults
    assert fault.startswith(f"{file}: its mode is 0644; expected 0640 or less")
    file.chmod(0o640)
    assert site.check() == 0
    written = read_files(site.folder / "iems.toml")
    before = [written.fingerprint(one) for one in _programs(written)]
    file.write_text("other\n")
    after = [written.fingerprint(one) for one in _programs(written)]
    assert [one == two for one, two in zip(before, after, strict=True)] == same


def _programs(written: Written) -> tuple[MilterSettings, AgentSettings]:
    return written.settings.milter, written.settings.agent


def test_what_nobody_carries_out_is_a_fault(site: Site) -> None:
    """Mail that leaves this host is neither kept nor dropped."""
    for action, wrong in (("quarantine", 1), ("discard", 1), ("defer", 0)):
        site.settings(
            '[checks.iprev]\nmode = "delegate"\n[destinations.internet.policy.iprev]\n'
            f'default = {{ mismatch = "{action}" }}\n'
        )
        assert site.check() == (78 if wrong else 0)
        assert len(site.faults) == wrong
        assert all(
            f"makes iprev mismatch {action!r}, which nobody can do" in one for one in site.faults
        )


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o440])
def test_modes_that_suit_a_secret(site: Site, mode: int) -> None:
    (site.folder / "findings.toml").chmod(mode)
    assert site.check() == 0


@pytest.mark.parametrize(("timeout", "wrong"), [(12.4, 0), (12.5, 1)])
def test_all_waiting_together_is_less_than_postfix_s(
    site: Site, timeout: float, wrong: int
) -> None:
    site.settings(f"[directory]\ntimeout = {timeout}\n[dns]\ntimeout = 6.25\n")
    site.check()
    assert len(site.faults) == wrong


def test_the_end_of_the_header_is_waited_for_as_well(site: Site) -> None:
    site.postfix("milter_content_timeout = 10s")
    assert site.check() == 78
    (fault,) = site.faults
    assert "milter_content_timeout of 10 s" in fault


def test_edits_of_others_are_waited_for_as_well(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.postfix("milter_content_timeout = 100s")
    assert site.check() == 0
    site.settings("[edits.tagging.a]\ntimeout = 20\n[edits.tagging.b]\ntimeout = 20\n")
    with shouting.installed() as folder:
        monkeypatch.syspath_prepend(str(folder))
        assert site.check() == 78
    (fault,) = site.faults
    assert " 45 s for records, counts, attachments and plug-ins are " in fault


@pytest.mark.parametrize(
    ("value", "expected"),
    [("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800), ("1w", 604800), ("45", 45),
     ("", None), ("s", None), ("1x", None), ("1ms", None), ("$other", None)],
)  # fmt: skip
def test_times_of_postfix(value: str, expected: float | None) -> None:
    assert seconds(value) == expected


def test_lists_of_milters() -> None:
    value = "inet:[::1]:8891, { unix:iems/milter.sock, connect_timeout = 10s default_action=accept}"
    options = {"connect_timeout": "10s", "default_action": "accept"}
    assert list(milters(value)) == [
        Milter("inet:[::1]:8891", {}),
        Milter("unix:iems/milter.sock", options),
    ]
    assert list(milters("")) == []


def test_faults_are_told_to_people_too(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (site.folder / "findings.toml").chmod(0o604)
    assert main(["--settings", str(site.folder / "iems.toml"), "check"]) == 78
    told = capsys.readouterr()
    assert "its mode is 0604" in told.err
    assert told.out == ""


def test_the_zone_of_a_list_is_not_shown(site: Site) -> None:
    site.settings('[checks.dnsbl.a]\nmode = "enforce"\nzone = "s3cret key.example"\n')
    assert site.check() == 78
    assert "s3cret" not in str(site.faults)


def test_a_daemon_of_another_release(site: Site) -> None:
    site.settings(f'[milter]\nstatus = "{site.folder}/status.json"\n')
    written = read_files(site.folder / "iems.toml")
    release = Path(sys.prefix).name

    def row(release: str, fingerprint: str, updated: float) -> str:
        seen = (updated, 3, 5.0, fingerprint)
        running = Status("iems-milter", release, os.getpid(), 1.0, *seen)
        publish(site.folder / "status.json", running)
        return live.running("iems-milter", written, written.settings.milter).text

    own, now = written.fingerprint(written.settings.milter), time.time()
    assert "runs what is written" in row(release, own, now)
    assert "what is written is other; reload it" in row(release, "another", now)
    assert "is of the release 0.0.9, and this is" in row("0.0.9", own, now)
    assert "hangs or was killed" in row(release, own, now - STALE - 1)
