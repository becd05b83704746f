"""`iems check`: what is legal and hardly meant, and what is near it and may well be meant.

Postfix's configuration is read by the real postconf(1), from a folder of the test's own.
"""

from __future__ import annotations

import datetime
import os

import pytest

from cli.main import main
from iems.store.signingkeys import DomainKeys
from tests.unit.cli.conftest import LISTENER, TRANSPORT, Site


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('own_networks = ["0.0.0.0/0"]\n', "own_networks holds 0.0.0.0/0: no client"),
        ('own_networks = ["0.0.0.0/1", "128.0.0.0/1"]\n', "own_networks holds 0.0.0.0/0"),
        ('trusted_relays = ["2001:d00::/24"]\n', "trusted_relays holds 2001:d00::/24"),
        ('trusted_relays = ["8.0.0.0/15"]\n', "trusted_relays holds 8.0.0.0/15"),
        (
            '[counters]\nserver = "inet:192.0.2.10:6379"\n',
            "and nobody logs in: whoever reaches it can free accounts; expected counters.user",
        ),
        (
            '[bayes]\nserver = "inet:192.0.2.10:6379"\n',
            "whoever reaches it can read what users have trained; expected bayes.user",
        ),
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
        (
            '[checks.flow]\nmode = "enforce"\n[checks.flow.limits.a]\ncount = "messages"\n'
            'per = "user"\nlimit = 1\nwindow = 1\nchannels = ["submission", "fax"]\n',
            "checks.flow.limits.a.channels names the channel 'fax'",
        ),
        (
            '[checks.dmarc]\nmode = "delegate"\n[checks.spf]\nmode = "delegate"\n',
            "checks.dmarc weighs what spf and dkim find, and dkim does not look at the channel",
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
        '[channels.office]\nnetworks = ["192.0.2.0/24"]\n',
        '[counters]\nserver = "inet:127.0.0.1:6379"\n',
        '[counters]\nserver = "unix:/run/redis/redis-server.sock"\n',
        '[bayes]\nserver = "unix:/run/redis/redis-server.sock"\n',
    ],
)
def test_what_may_well_be_meant(site: Site, text: str) -> None:
    site.settings(text)
    assert site.check("--strict") == 0


@pytest.mark.parametrize(
    ("domain", "kind", "warnings"),
    [
        ("example.test", "rsa", 0),
        ("mail.example.test", "rsa", 0),
        ("example.test", "ed25519", 1),
        ("elsewhere.test", "rsa", 1),
    ],
)
def test_keys_that_seal_nothing(site: Site, domain: str, kind: str, warnings: int) -> None:
    folder = site.folder / "dkim"
    folder.mkdir()
    now = datetime.datetime.now(datetime.UTC)
    DomainKeys(domain).prepared(kind, "", now).activated(now).write(folder)
    site.settings(f'[signing]\nkeys = "{folder}"\n')
    assert site.check() == 0
    assert len(site.warnings) == warnings
    assert all("iems dkim keygen mail.example.test" in one for one in site.warnings)


@pytest.mark.parametrize(("channel", "warnings"), [("submission", 0), ("internet", 1)])
def test_texts_in_mail_that_nothing_seals(site: Site, channel: str, warnings: int) -> None:
    (site.folder / "banner").write_text("From outside.")
    site.settings(
        f'[edits.text.banner]\nplain = "{site.folder}/banner"\nchannels = ["{channel}"]\n'
        f'[signing]\nkeys = "{site.folder}/dkim"\n'
    )
    assert site.check() == 0
    assert len(site.warnings) == warnings
    assert all("texts break its signatures, and no RSA key" in one for one in site.warnings)


def test_an_edit_of_a_channel_that_nobody_names(site: Site) -> None:
    (site.folder / "footer").write_text("A text.")
    site.settings(
        f'[edits.text.footer]\nplain = "{site.folder}/footer"\n'
        'channels = ["submission", "submision"]\n'
    )
    assert site.check() == 0
    (warning,) = site.warnings
    assert warning.startswith(f"{site.folder}/conf.d/more.toml: edits.text.footer.channels names ")
    assert "the channel 'submision'" in warning


@pytest.mark.parametrize(
    ("mode", "group", "warnings"), [(0o644, 7, 0), (0o640, 0, 0), (0o640, 7, 1), (0o600, 0, 1)]
)
def test_a_text_that_the_daemons_cannot_read(
    site: Site, mode: int, group: int, warnings: int
) -> None:
    file = site.folder / "footer"
    file.write_text("A text.")
    os.chown(file, -1, (site.folder / "findings.toml").stat().st_gid + group)
    file.chmod(mode)
    site.settings(f'[edits.text.footer]\nplain = "{file}"\n')
    assert site.check() == 0
    assert [one.partition(":")[0] for one in site.warnings] == [str(file)] * warnings


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


def test_bounces_that_are_marked_for_nobody(site: Site) -> None:
    site.settings("[milter]\ntag_spam_bounces = true\n")
    assert site.check() == 0
    (warning,) = site.warnings
    assert "milter_header_checks is empty" in warning
    site.postfix("milter_header_checks = regexp:$config_directory/milter_header_checks")
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


LIST = '[checks.{family}.a]\nmode = "enforce"\nzone = "{zone}"\n[dns]\nservers = ["{server}"]\n'


@pytest.mark.parametrize("family", ["dnsbl", "rhsbl", "uribl"])
def test_a_resolver_for_everybody_and_a_zone_that_is_none(
    family: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.check.doubts._silent", lambda _servers: {})
    site.settings(LIST.format(family=family, zone="list.test", server="127.0.0.1"))
    assert site.check("--strict") == 0
    public = "[2001:4860:4860::8888]:53"
    site.settings(LIST.format(family=family, zone="192.0.2.77", server=public))
    assert site.check() == 0
    zone, resolver = site.warnings
    file = f"{site.folder}/conf.d/more.toml"
    assert zone.startswith(f"{file}: checks.{family}.a.zone is an IP address")
    assert "192.0.2.77" not in zone
    assert resolver.startswith(f"{file}: dns.servers names 2001:4860:4860::8888, a resolver for")


def test_who_asks_no_list_needs_no_resolver(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.check.doubts._silent", lambda _servers: pytest.fail("was asked"))
    site.settings('[dns]\nservers = ["8.8.8.8"]\n')
    assert site.check("--strict") == 0


RULE = '[checks.header.a]\nfield = "X"\ntest = "present"\nmode = '


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("exact = true\n", True),
        ('exact = ["example.test"]\n[checks.iprev]\nmode = "delegate"\n', True),
        (f'exact = true\n{RULE}"enforce"\n', True),
        ('exact = true\n[headers]\nallow = ["tag", "reject"]\n', False),
        (f'exact = true\n{RULE}"delegate"\n', False),
        (
            'exact = true\ntrusted_relays = ["192.0.2.1"]\n[checks.iprev]\nmode = "delegate"\n',
            False,
        ),
        ("exact = false\n", False),
        (f'exact = true\n{RULE}"delegate"\nvalue = "v"\n', False),
    ],
)
def test_exact_where_nothing_is_found_late(site: Site, text: str, warned: bool) -> None:
    site.settings(text)
    site.check()
    assert [one.startswith(f"{site.folder}/conf.d/more.toml: exact ") for one in site.warnings] == [
        True
    ] * warned


def test_a_rule_of_a_domain_or_list_that_does_nothing(site: Site) -> None:
    directory = site.folder / "directory.toml"
    site.settings(f'[directory]\nkind = "toml"\nfile = "{directory}"\n')
    text = '[domains."a.test"]\nheaders = ["x ACTION Date absent"]\n[aliases]\n'
    text += '"l@a.test" = ["x@b.test"]\n[lists."l@a.test"]\nheaders = ["y ACTION Date absent"]\n'
    for action, count in (("reject", 2), ("junk", 0)):
        directory.write_text(text.replace("ACTION", action))
        site.check()
        assert len(site.warnings) == count
        for warning, check in zip(site.warnings, ("a.test/x", "l@a.test/y"), strict=False):
            assert f"says reject for header/{check}, which site forbids" in warning


def test_exact_without_mail_from_outside(site: Site) -> None:
    site.settings(f'exact = true\n{RULE}"delegate"\n')
    site.postfix(master=LISTENER.replace("=internet", "=partner") + TRANSPORT)
    site.check()
    [warning] = site.warnings
    assert "no listener of Postfix is it" in warning


def test_dmarc_without_what_it_weighs(site: Site) -> None:
    other = '[checks.spf]\nmode = "delegate"\nchannels = ["local"]\n'
    shadow = other.replace("delegate", "shadow").replace('"local"', '"internet"')
    for text in ("", other, other.replace("delegate", "off"), shadow):
        site.settings('[checks.dmarc]\nmode = "delegate"\n' + text)
        site.check()
        assert [one.partition(" find, and ")[2].partition(" ")[0] for one in site.warnings] == [
            "spf",
            "dkim",
        ]
    site.settings(other)
    assert site.check("--strict") == 0
