"""Settings: files in order, tables joined, and every fault told with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.finding import Finding
from iems.model.policy import WHOLE, Action, Rule
from iems.settings.load import from_table, load
from iems.settings.policy import CheckSettings, Mode, missing_findings
from iems.settings.read import SettingsError

LEAST = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
"""


def write(folder: Path, text: str, **more: str) -> Path:
    file = folder / "iems.toml"
    file.write_text(LEAST + text)
    (folder / "conf.d").mkdir()
    for name, content in more.items():
        (folder / "conf.d" / f"{name}.toml").write_text(content)
    return file


def faults(folder: Path, text: str, **more: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(write(folder, text, **more))
    return str(caught.value)


def test_the_least_file_and_its_defaults(tmp_path: Path) -> None:
    settings = load(write(tmp_path, ""))
    assert settings.hostname == "mail.example.test"
    assert settings.agent.upstreams == {"local": "unix:/run/dovecot/iems-lmtp"}
    assert settings.checks == ()
    assert settings.milter.socket == Path("/var/spool/postfix/iems/milter.sock")
    assert settings.directory.timeout == 5.0


def test_a_later_file_overrides_a_key_and_joins_a_table(tmp_path: Path) -> None:
    settings = load(
        write(
            tmp_path,
            '[milter]\nworkers = 3\n[checks.iprev]\nmode = "off"\n',
            a='[milter]\nworkers = 5\n[checks.dnsbl.one]\nmode = "enforce"\nzone = "z.test"\n',
            b='[checks.iprev]\nmode = "delegate"\n',
        )
    )
    assert settings.milter.workers == 5
    assert [check.name for check in settings.checks] == ["iprev", "dnsbl/one"]


def test_files_count_in_the_order_of_their_names(tmp_path: Path) -> None:
    numbers = [f"{number:02}" for number in range(1, 41)]
    texts = {name: f"[milter]\nworkers = {int(name)}\n" for name in sorted(numbers, key=hash)}
    assert load(write(tmp_path, "", **texts)).milter.workers == 40


def test_all_faults_of_all_parts_are_told_together(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        "x = 1\n[checks.iprev]\nmode = 1\n[checks.dnsbl.a]\nmode = 2\n",
        a="[channels]\none = 1\n[channels.two.policy]\nspam = {}\n[channels.three]\nx = 1\n",
    ).splitlines()
    assert len(told) == 6
    for key in ("x", "checks.iprev.mode", "checks.dnsbl.a.mode", "channels.one"):
        assert any(f": {key} is " in line for line in told)
    assert any("conf.d/a.toml: channels.two.policy.spam is no check" in line for line in told)
    assert any("channels.three.x is no setting; known: policy, networks" in line for line in told)


def test_a_fault_names_file_key_value_and_what_is_expected(tmp_path: Path) -> None:
    told = faults(tmp_path, "[milter]\nworkers = 0\n", a='[dns]\ntimeout = "soon"\n')
    assert f"{tmp_path}/iems.toml: milter.workers is 0; expected a whole number" in told
    assert f"{tmp_path}/conf.d/a.toml: dns.timeout is 'soon'; expected a number" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[milter]\nworker = 1\n", "milter.worker is no setting; did you mean workers?"),
        ('[checks.spam]\nmode = "off"\n', "checks.spam is no check; known: arc, "),
        ('[checks.iprev]\nmode = "on"\n', "checks.iprev.mode is 'on'; expected one of enforce"),
        ("[checks]\niprev = 1\n", "checks.iprev is no check"),
        (
            '[checks.iprev]\nmode = "delegate"\ndefault = { listed = "tag" }\n',
            "checks.iprev.default.listed is no band; known: mismatch, temperror",
        ),
        (
            '[checks.iprev]\nmode = "delegate"\ndefault = { mismatch = "remove" }\n',
            "checks.iprev.default.mismatch is 'remove'; expected one of deliver, tag",
        ),
        (
            '[checks.iprev]\nmode = "delegate"\nallow = { mismatch = ["deliver", "remove"] }\n',
            "checks.iprev.allow.mismatch is ['deliver', 'remove']; expected one of d",
        ),
        (
            '[channels.internet.policy.helo]\ndefault = { ours = "remove" }\n',
            "channels.internet.policy.helo.default.ours is 'remove'; expected one of deliver, tag",
        ),
        ('[senders]\nblocked = "remove"\n', "senders.blocked is 'remove'; expected one of deliver"),
        ('[headers]\nallow = ["remove"]\n', "headers.allow is ['remove']; expected one of deliver"),
        (
            '[checks.iprev]\nmode = "delegate"\ndefault = { mismatch = "eat" }\n',
            "checks.iprev.default.mismatch is 'eat'; 'eat' is no action; expected one of deliver",
        ),
        (
            '[checks.iprev]\nmode = "delegate"\ndefault = { mismatch = "tag" }\n'
            'allow = { mismatch = ["deliver"] }\n',
            "checks.iprev.default.mismatch is 'tag'; expected one of its allow list, deliver",
        ),
        (
            '[checks.iprev]\nmode = "enforce"\nallow = { mismatch = ["deliver"] }\n',
            "checks.iprev.allow.mismatch with mode enforce; expected none",
        ),
        ('[agent.upstreams]\nlist = "unix:/x"\n', "expected a table with the key local"),
        ('[agent.upstreams]\nlocal = "tcp:1"\n', "expected unix:/PATH or inet:HOST:PORT"),
        ("[channels.internet]\nx = 1\n", "channels.internet.x is no setting"),
        ("own_networks = [1]\n", "expected a list of IP networks"),
        ("milters = 1\n", "milters is no setting; did you mean milter?"),
        ("zzz = 1\n", "zzz is no setting; known: version, hostname, postmaster"),
        ('[milter]\n"a.b" = 1\n', 'milter."a.b" is no setting'),
        ("milter = 1\n", "milter is 1; expected a table"),
        ("checks = 1\n", "checks is 1; expected a table"),
        ("channels = 1\n", "channels is 1; expected a table"),
        ("[channels]\ninternet = 1\n", "channels.internet is 1; expected a table"),
        ('[senders]\nblocked = "eat"\n', "senders.blocked is 'eat'; 'eat' is no action"),
        ("[senders]\nallow = []\n", "senders.allow is []; expected a list of actions"),
        (
            '[senders]\nallow = ["junk", "tag"]\n',
            "senders.blocked is 'reject'; expected one of senders.allow, tag, junk",
        ),
        (
            '[senders]\nallow = ["reject"]\n'
            '[channels.internet.policy.senders]\ndefault = { blocked = "junk" }\n',
            "channels.internet.policy makes senders blocked 'junk'",
        ),
        ("[channels.internet]\npolicy = 1\n", "channels.internet.policy is 1; expected a table"),
        ("[checks.dnsbl]\na = 1\n", "checks.dnsbl.a is 1; expected a table"),
        (
            '[checks.attachment.A]\nmode = "enforce"\nextension = "exe"\n'
            '[checks.attachment.a]\nmode = "enforce"\nextension = "bat"\n',
            "checks.attachment.a is attachment/a once more; expected another name",
        ),
        ('[checks.dnsbl."a/b"]\nmode = "off"\n', 'checks.dnsbl."a/b"; expected a name of letters'),
        ('[checks.dnsbl."\u00e9"]\nmode = "off"\n', "expected a name of letters, digits, - ."),
        ('[checks.dnsbl."-."]\nmode = "off"\n', "expected a name of letters, digits, - ."),
        (
            '[checks.iprev]\nmode = "delegate"\ndefault = 1\n',
            "checks.iprev.default is 1; expected a table of bands",
        ),
        (
            '[checks.iprev]\nmode = "delegate"\ndefault = { mismatch = "reject" }\n'
            'allow = { mismatch = ["tag", "junk"] }\n',
            "checks.iprev.default.mismatch is 'reject'; expected one of its allow list, junk, tag",
        ),
        (
            '[checks.iprev]\nmode = "delegate"\nallow = { mismatch = [] }\n',
            "expected a list of actions that is not empty",
        ),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    assert told in faults(tmp_path, text)


def test_names_of_lists(tmp_path: Path) -> None:
    text = "".join(f'[checks.dnsbl."{name}"]\nmode = "enforce"\n' for name in ("A-1", "b.c"))
    settings = load(write(tmp_path, text))
    assert [check.name for check in settings.checks] == ["dnsbl/a-1", "dnsbl/b.c"]
    assert {check.family for check in settings.checks} == {"dnsbl"}


CHANNEL = (
    '[checks.iprev]\nmode = "delegate"\nallow = { mismatch = ["deliver", "tag", "junk"] }\n'
    '[checks.dnsbl.hard]\nmode = "enforce"\n[channels.internet.policy.'
)


def test_a_channel_s_policy_becomes_its_layer(tmp_path: Path) -> None:
    text = CHANNEL + 'iprev]\ndefault.mismatch = "tag"\nallow.mismatch = ["tag", "junk"]\n'
    settings = load(write(tmp_path, text + 'allow.temperror = ["deliver"]\n'))
    layer = settings.channels["internet"].layer
    assert str(layer.subject) == "channel internet"
    assert layer.rules == {
        ("iprev", "mismatch"): Rule(frozenset({Action.TAG, Action.JUNK}), Action.TAG),
        ("iprev", "temperror"): Rule(frozenset({Action.DELIVER}), None),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('iprev]\ndefault.mismatch = "reject"\n', "'reject'; expected one of what is allowed there,"
                                                 " deliver, junk, tag"),
        ('iprev]\nallow.mismatch = ["tag"]\n', "makes iprev mismatch 'deliver'; expected"),
        ('iprev]\nallow.mismatch = ["reject"]\n', "expected one of what is allowed there, nothing"),
        ('"dnsbl/*"]\ndefault.listed = "tag"\n', "policy makes dnsbl/hard listed 'tag'"),
        ("iprev]\nmode = 1\n", "channels.internet.policy.iprev.mode is none of default, allow"),
        ("spam]\n", "channels.internet.policy.spam is no check; known: arc, "),
        ("iprev]\nallow.listed = []\n", "channels.internet.policy.iprev.allow.listed is no band"),
        ('iprev]\ndefault.mismatch = "eat"\n', "default.mismatch is 'eat'; 'eat' is no action"),
    ],
)  # fmt: skip
def test_what_a_channel_may_not_say(tmp_path: Path, text: str, told: str) -> None:
    assert told in faults(tmp_path, CHANNEL + text)


OUTSIDE = CHANNEL.replace("channels.internet", "destinations.internet")


def test_a_destination_s_policy_becomes_its_layer(tmp_path: Path) -> None:
    settings = load(write(tmp_path, OUTSIDE + 'iprev]\ndefault.mismatch = "tag"\n'))
    (layer,) = settings.beneath("internet")
    assert str(layer.subject) == "connector internet"
    assert layer.rules == {("iprev", "mismatch"): Rule(None, Action.TAG)}
    assert settings.beneath("local") == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OUTSIDE + 'iprev]\ndefault.mismatch = "reject"\n', "destinations.internet.policy makes"),
        (OUTSIDE + '"dnsbl/*"]\ndefault.listed = "tag"\n', "makes dnsbl/hard listed 'tag'"),
        (
            OUTSIDE + 'iprev]\ndefault.mismatch = "tag"\n'
            '[channels.list.policy.iprev]\nallow.mismatch = ["deliver"]\n',
            "destinations.internet.policy makes iprev mismatch 'tag'; expected one of what is "
            "allowed there, deliver",
        ),
        ("[destinations.local.policy]\n", "destinations.local has no policy here; expected intern"),
        (
            OUTSIDE + 'bayes]\ndefault.spam = "reject"\n',
            "destinations.internet.policy.bayes is asked at delivery",
        ),
        (
            "[destinations.internet]\nx = 1\n",
            "destinations.internet.x is no setting; known: policy",
        ),
        ("[destinations]\ninternet = 1\n", "destinations.internet is 1; expected a table"),
        ("[channels.a]\nnetworks = ['x']\n", "channels.a.networks is ['x']; expected a list of IP"),
        (
            "[channels.a]\nnetworks = ['192.0.2.0/24']\n"
            "[channels.b]\nnetworks = ['192.0.2.0/24']\n",
            "channels.b.networks holds 192.0.2.0/24, as does a",
        ),
        (
            "[channels.local]\nnetworks = ['192.0.2.0/24']\n",
            "channels.local.networks makes clients of the network 'local', where nothing is",
        ),
    ],
)
def test_what_a_destination_and_a_network_may_not_be(tmp_path: Path, text: str, told: str) -> None:
    assert told in faults(tmp_path, text)


def test_a_policy_that_is_no_table(tmp_path: Path) -> None:
    assert "policy.iprev is no check" in faults(tmp_path, "[channels.x.policy]\niprev = 1\n")


def test_missing_keys_are_told(tmp_path: Path) -> None:
    file = tmp_path / "iems.toml"
    file.write_text("version = 1\n")
    with pytest.raises(SettingsError, match="hostname is missing"):
        load(file)


def test_a_check_that_is_off_is_none_and_the_options_of_one_are_its_own(tmp_path: Path) -> None:
    lists = '[checks.dnsbl.a]\nmode = "off"\n[checks.dnsbl.b]\nmode = "enforce"\nzone = "b.test"\n'
    (check,) = load(write(tmp_path, lists + 'default = { listed = "tag" }\n')).checks
    assert (check.name, check.options) == ("dnsbl/b", {"zone": "b.test"})
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read"):
        load(tmp_path / "none.toml")


def test_what_stands_in_for_findings_that_are_missing_says_so() -> None:
    check = CheckSettings("iprev", Mode.DELEGATE, {}, {}, "checks.iprev")
    reason = "the message carries no valid findings"
    assert missing_findings([check]) == (Finding("iprev", "temperror", "temperror", reason),)


@pytest.mark.parametrize("content", [b"\xff", b"[", b""])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "iems.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=str(file)):
        load(file)


def test_modes_become_rules() -> None:
    table = {
        "version": 1,
        "hostname": "mail.example.test",
        "postmaster": "postmaster@example.test",
        "checks": {
            "iprev": {"mode": "delegate"},
            "dnsbl": {"a": {"mode": "enforce", "zone": "a.test", "default": {"listed": "reject"}}},
        },
        "channels": {"internet": {"policy": {"iprev": {"default": {"mismatch": "tag"}}}}},
    }
    settings = from_table(table)
    rules = settings.site_layer.rules
    assert rules["iprev", "mismatch"] == Rule(WHOLE, Action.DELIVER)
    assert rules["dnsbl/a", "listed"] == Rule(frozenset({Action.REJECT}), Action.REJECT)
    assert rules["dnsbl/a", "temperror"] == Rule(frozenset({Action.DELIVER}), Action.DELIVER)
    assert len(settings.layers("internet", "local")) == 2
    assert settings.layers("local", "local") == (settings.site_layer,)
    assert {one.band for one in missing_findings(settings.checks)} == {"temperror"}


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
top = st.sampled_from(["version", "hostname", "checks", "channels", "milter", "agent", "dns", "x"])


@given(st.dictionaries(top, json))
def test_any_table_is_settings_or_a_settings_error(table: dict[str, object]) -> None:
    try:
        from_table(table)
    except SettingsError as error:
        assert error.faults  # noqa: PT017 - that nothing else is raised is the point


def test_a_check_in_shadow_has_rules_that_nobody_can_choose_about() -> None:
    iprev = {
        "mode": "shadow",
        "default": {"mismatch": "junk"},
        "allow": {"mismatch": ["junk", "tag"]},
    }
    table: dict[str, object] = {
        "version": 1,
        "hostname": "mail.example.test",
        "postmaster": "postmaster@example.test",
        "checks": {"iprev": iprev, "spf": {"mode": "delegate"}},
    }
    site = from_table(table)
    assert site.shadows == {"iprev"}
    assert {check for check, _band in site.site_layer.rules} == {"spf", "senders", "header/*"}
    rule = site.site_layer.shadow["iprev", "mismatch"]
    assert rule == Rule(frozenset({Action.JUNK, Action.TAG}), Action.JUNK)
    found = [Finding("iprev", "fail", "mismatch"), Finding("spf", "pass")]
    assert site.weighed(found) == (found[1],)
    policy = {"iprev": {"default": {"mismatch": "reject"}}}
    with pytest.raises(SettingsError, match="makes iprev mismatch 'reject'"):
        from_table({**table, "channels": {"internet": {"policy": policy}}})
