"""`iems check`: every fault with file, key, what stands there and what is expected.

Postfix's configuration is read by the real postconf(1), from a folder of the test's own.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.check.postfix import Milter, milters, seconds
from cli.main import main
from iems.store.keys import create

LISTENER = "smtp inet n - y - - smtpd -o milter_macro_daemon_name=internet\n"
TRANSPORT = "iems-lmtp unix - - y - - lmtp -o lmtp_send_xforward_command=yes\n"


@dataclass
class Site:
    """Settings that are right, and a Postfix as the playbook sets it up."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def settings(self, text: str) -> None:
        """More settings."""
        (self.folder / "conf.d" / "more.toml").write_text(text)

    def postfix(self, *changes: str, master: str = LISTENER + TRANSPORT) -> None:
        """Postfix's configuration; a change is `name = value`."""
        wanted = {
            "queue_directory": "/var/spool/postfix",
            "smtpd_milters": "unix:iems/milter.sock",
            "virtual_transport": "iems-lmtp:unix:iems/lmtp.sock",
            "enable_long_queue_ids": "yes",
            "internal_mail_filter_classes": "bounce",
            "message_size_limit": "104857600",
            "smtpd_relay_restrictions": "reject_unauth_destination",
        }
        for change in changes:
            name, _equals, value = change.partition("=")
            wanted[name.strip()] = value.strip()
        lines = [f"{name} = {value}\n" for name, value in wanted.items()]
        main = self.folder / "postfix" / "main.cf"
        main.write_text("".join(lines))
        # Postfix waits until nobody can still be writing to it.
        os.utime(main, (1, 1))
        (self.folder / "postfix" / "master.cf").write_text(master)

    def check(self, *options: str) -> int:
        """The exit code; what was said is kept."""
        code = main(["--settings", str(self.folder / "iems.toml"), "check", "--json", *options])
        told = json.loads(self.capsys.readouterr().out)
        self.faults: list[str] = told["faults"]
        self.warnings: list[str] = told["warnings"]
        return code


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Site:
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path / "postfix"))
    for name in ("conf.d", "postfix"):
        (tmp_path / name).mkdir()
    create(tmp_path / "findings.toml", "k1")
    (tmp_path / "directory.toml").write_text('[domains."example.test"]\n')
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[directory]\nkind = "toml"\nfile = "{tmp_path}/directory.toml"\n'
        f'[keys]\nfindings = "{tmp_path}/findings.toml"\n'
    )
    made = Site(tmp_path, capsys)
    made.postfix()
    return made


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


def test_the_passwords_of_the_directory_server(site: Site) -> None:
    names, folder = ("milter", "agent", "admin"), site.folder
    tables = (f'[{name}]\nldap_password_file = "{folder}/ldap-{name}"\n' for name in names)
    site.settings('[directory]\nkind = "ldap"\n' + "".join(tables))
    assert site.check() == 78
    assert len(site.faults) == 3
    assert all("cannot be read" in fault for fault in site.faults)
    for name in names:
        (folder / f"ldap-{name}").touch(0o600)
        (folder / f"ldap-{name}").write_text("secret\n")
    (folder / "ldap-admin").chmod(0o660)
    assert site.check() == 78
    (fault,) = site.faults
    assert fault.startswith(f"{folder}/ldap-admin: its mode is 0660; expected 0640 or less")


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o440])
def test_modes_that_suit_a_secret(site: Site, mode: int) -> None:
    (site.folder / "findings.toml").chmod(mode)
    assert site.check() == 0


@pytest.mark.parametrize(("timeout", "wrong"), [(12.4, 0), (12.5, 1)])
def test_all_waiting_together_is_less_than_postfix_s(
    site: Site, timeout: float, wrong: int
) -> None:
    site.settings(f"[directory]\ntimeout = {timeout}\n[dns]\ntimeout = 12.5\n")
    site.check()
    assert len(site.faults) == wrong


def test_the_end_of_the_header_is_waited_for_as_well(site: Site) -> None:
    site.postfix("milter_content_timeout = 10s")
    assert site.check() == 78
    (fault,) = site.faults
    assert "milter_content_timeout of 10 s" in fault


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('own_networks = ["0.0.0.0/0"]\n', "own_networks holds 0.0.0.0/0: no client"),
        ('own_networks = ["0.0.0.0/1", "128.0.0.0/1"]\n', "own_networks holds 0.0.0.0/0"),
        ('trusted_relays = ["2001:d00::/24"]\n', "trusted_relays holds 2001:d00::/24"),
        ('trusted_relays = ["8.0.0.0/15"]\n', "trusted_relays holds 8.0.0.0/15"),
        (
            '[directory]\nuri = "ldap://ldap.example.org"\nkind = "ldap"\n',
            "in clear text; expected ldaps:// or ldapi://",
        ),
        (
            '[directory]\nuri = "ldaps://a.test ldap://10.0.0.5"\nkind = "ldap"\n',
            "names ldap://10.0.0.5: ",
        ),
        (
            "[channels.partner.policy.iprev]\n",
            "channels.partner names the channel 'partner', and no listener of Postfix does",
        ),
        (
            '[checks.iprev]\nmode = "delegate"\nchannels = ["internet", "fax"]\n',
            "checks.iprev.channels names the channel 'fax'",
        ),
    ],
)
def test_what_is_allowed_and_hardly_meant(site: Site, text: str, told: str) -> None:
    site.settings(text)
    site.check()
    (warning,) = site.warnings
    assert warning.startswith(f"{site.folder}/conf.d/more.toml: ")
    assert told in warning
    assert site.check("--strict") == 78


@pytest.mark.parametrize(
    "text",
    [
        'own_networks = ["10.0.0.0/8", "192.0.2.0/24", "fd00::/8", "2001:db8::/32"]\n',
        'trusted_relays = ["198.51.0.0/16", "2001:db8:1::/48"]\n',
        '[directory]\nuri = "ldap://127.0.0.1 ldap://[::1]:389 ldapi:/// ldaps://ldap.test"\n',
        "[channels.internet.policy.iprev]\n[channels.local.policy.iprev]\n",
    ],
)
def test_what_may_well_be_meant(site: Site, text: str) -> None:
    site.settings(text)
    assert site.check("--strict") == 0


def test_a_warning_alone_is_no_fault(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.settings('own_networks = ["::/0"]\n')
    assert main(["--settings", str(site.folder / "iems.toml"), "check"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("warning: ")
    assert told.out.endswith("nothing is wrong, 1 warnings\n")


def test_a_channel_that_a_listener_names_is_known(site: Site) -> None:
    site.settings("[channels.partner.policy.iprev]\n")
    partner = "2525 inet n - y - - smtpd -o milter_macro_daemon_name=partner\n"
    site.postfix(master=LISTENER + partner + TRANSPORT)
    assert site.check("--strict") == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("milter_default_action = accept", "milter_default_action is accept for smtp/inet"),
        (
            "smtpd_milters = { unix:/iems/milter.sock, default_action = accept }",
            "milter_default_action is accept for smtp/inet",
        ),
        ("enable_long_queue_ids = no", "enable_long_queue_ids is no"),
        ("internal_mail_filter_classes = notify", "lacks bounce"),
        ("message_size_limit = 0", "message_size_limit is 0"),
        ("message_size_limit = 104857601", "expected at most 104857600"),
        (
            "smtpd_relay_restrictions = permit_mynetworks permit reject_unauth_destination",
            "smtp/inet is an open relay",
        ),
        (
            "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n"
            "mynetworks = 127.0.0.0/8 0.0.0.0/0",
            "smtp/inet relays for mynetworks, and these hold 0.0.0.0/0",
        ),
    ],
)
def test_a_postfix_that_is_hardly_meant_so(site: Site, change: str, told: str) -> None:
    site.postfix(*change.split("\n"))
    assert site.check() == 0
    (warning,) = site.warnings
    assert told in warning
    assert "; expected " in warning


@pytest.mark.parametrize(
    "changes",
    [
        ["smtpd_relay_restrictions =", "smtpd_recipient_restrictions = reject_unauth_destination"],
        ["smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated reject"],
        ["mynetworks = 0.0.0.0/0"],
        ["smtpd_milters = inet:127.0.0.1:11332", "milter_default_action = accept"],
        ["smtpd_milters = { unix:iems/milter.sock, default_action = tempfail }",
         "milter_default_action = accept"],
    ],
)  # fmt: skip
def test_a_postfix_that_may_well_be_meant_so(site: Site, changes: list[str]) -> None:
    site.postfix(*changes)
    assert site.check("--strict") == 0


def test_what_master_cf_says_holds_for_its_service(site: Site) -> None:
    site.postfix("lmtp_send_xforward_command = yes")
    assert site.check("--strict") == 0
    own = "  -o milter_default_action=accept -o smtpd_relay_restrictions=permit\n"
    site.postfix(master=LISTENER + own + TRANSPORT.partition(" -o")[0] + "\n")
    site.check()
    action, relay, identity = sorted(site.warnings)
    assert "milter_default_action is accept for smtp/inet" in identity + action + relay
    assert any(
        "lmtp_send_xforward_command is no for iems-lmtp/unix" in one for one in site.warnings
    )
    assert any("smtp/inet is an open relay" in one for one in site.warnings)


def test_a_tls_key_that_others_can_read(site: Site) -> None:
    key = site.folder / "key.pem"
    key.touch(0o600)
    key.chmod(0o644)
    site.postfix(f"smtpd_tls_cert_file = {key}")
    site.check()
    assert site.warnings == [
        f"{key}: the mode of this TLS key is 0644; expected 0640 or less: chmod 0640 {key}"
    ]
    key.chmod(0o640)
    assert site.check("--strict") == 0


def test_a_postfix_that_cannot_be_read(site: Site) -> None:
    (site.folder / "postfix" / "main.cf").unlink()
    assert site.check() == 0
    (warning,) = site.warnings
    assert "postconf -x: " in warning


LIST = '[checks.dnsbl.a]\nmode = "enforce"\nzone = "{}"\n[dns]\nservers = ["{}"]\n'


def test_a_resolver_for_everybody_and_a_zone_that_is_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.check.doubts._silent", lambda _servers: {})
    site.settings(LIST.format("list.test", "127.0.0.1"))
    assert site.check("--strict") == 0
    site.settings(LIST.format("192.0.2.77", "[2001:4860:4860::8888]:53"))
    assert site.check() == 0
    zone, resolver = site.warnings
    file = f"{site.folder}/conf.d/more.toml"
    assert zone.startswith(f"{file}: checks.dnsbl.a.zone is an IP address")
    assert "192.0.2.77" not in zone
    assert resolver.startswith(f"{file}: dns.servers names 2001:4860:4860::8888, a resolver for")


def test_who_asks_no_list_needs_no_resolver(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.check.doubts._silent", lambda _servers: pytest.fail("was asked"))
    site.settings('[dns]\nservers = ["8.8.8.8"]\n')
    assert site.check("--strict") == 0
