"""The commands as an administrator types them, on a real slapd: settings, secrets, exit codes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import ldap
import pytest

from cli.bayes import leaving
from tests.integration.directory import tree
from tests.integration.directory.conftest import Iems
from tests.integration.stack.slapd import Slapd

DOMAIN = "cli.test"
ALICE = f"alice@{DOMAIN}"


def test_domain(iems: Iems) -> None:
    """Added once, with its role addresses; deleted only when it is empty, or with all in it."""
    name = "domain.cli.test"
    add = ("domain", "add", name, "--postmaster", ALICE)
    assert iems(*add) == (0, f"added domain {name}\n", "")
    assert iems(*add) == (1, "", f"iems: domain {name} exists\n")
    assert iems(*add, "--exists-ok") == (0, f"unchanged domain {name}\n", "")
    assert json.loads(iems("alias", "list", name, "--json")[1]) == [
        {"address": f"abuse@{name}", "targets": [ALICE]},
        {"address": f"postmaster@{name}", "targets": [ALICE]},
    ]
    assert name in iems("domain", "list")[1].splitlines()
    assert {"domain": name, "alias_of": None} in json.loads(iems("domain", "list", "--json")[1])
    iems("user", "add", f"bob@{name}")
    code, out, error = iems("domain", "delete", name)
    assert (code, out) == (1, "")
    assert f"bob@{name}" in error
    assert iems("domain", "delete", name, "--recursive") == (0, f"deleted domain {name}\n", "")
    assert iems("domain", "delete", name) == (1, "", f"iems: no domain {name}\n")
    assert name not in iems("domain", "list")[1]


def test_domain_completes_roles(iems: Iems, domain: str) -> None:
    """What an interrupted run left out is added by the next."""
    code, _out, error = iems("alias", "delete", f"abuse@{domain}")
    assert code == 0
    assert "RFC 2142" in error
    code, out, _error = iems("domain", "add", domain, "--postmaster", ALICE, "--exists-ok")
    assert (code, out) == (0, f"added domain {domain}\n")


def test_addresses_that_train_are_added_where_nobody_has_them(iems: Iems) -> None:
    name = "training.cli.test"
    add = ("domain", "add", name, "--postmaster", ALICE)
    assert iems(*add)[0] == 0
    assert iems("user", "add", f"ham@{name}")[0] == 0
    wanted = (0, f"added domain {name}\n", ""), (0, f"unchanged domain {name}\n", "")
    assert tuple(iems(*add, "--training", "--exists-ok") for _twice in wanted) == wanted
    aliases = json.loads(iems("alias", "list", name, "--json")[1])
    assert [one for one in aliases if one["targets"] != [ALICE]] == [
        {"address": f"spam@{name}", "targets": [f"spam@{name}"]}
    ]
    assert iems("domain", "delete", name, "--recursive")[0] == 0


def test_domain_that_would_be_its_own_postmaster(iems: Iems) -> None:
    """The site's postmaster is no use for its own domain."""
    code, _out, error = iems("domain", "add", "example.test")
    assert code == 1
    assert "--postmaster" in error


def test_user_can_log_in_with_the_password_printed(server: Slapd, iems: Iems, domain: str) -> None:
    """It is generated, printed once, and never the same."""
    passwords = []
    for name in ("bob", "carol"):
        code, out, error = iems("user", "add", f"{name}@{domain}")
        assert (code, error) == (0, "")
        found = re.fullmatch(rf"added user {name}@{domain}\npassword (\S+)\n", out)
        assert found
        passwords.append(found.group(1))
        tree.bound(server, tree.user_dn(f"{name}@{domain}"), passwords[-1]).unbind_s()
    assert passwords[0] != passwords[1]
    assert all(len(password) >= 20 for password in passwords)


def test_user_password_from_file(
    server: Slapd, iems: Iems, domain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A given password is never printed; it may come from a file or from standard input."""
    file = str(tree.write(tmp_path / "password", "s3cret of dave\nrest\n"))
    out = iems("user", "add", f"dave@{domain}", "--password-file", file)
    assert out == (0, f"added user dave@{domain}\n", "")
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret of erin\n"))
    assert iems("user", "add", f"erin@{domain}", "--password-file", "-")[0] == 0
    for name in ("dave", "erin"):
        dn = tree.user_dn(f"{name}@{domain}")
        tree.bound(server, dn, f"s3cret of {name}").unbind_s()
        with pytest.raises(ldap.INVALID_CREDENTIALS):
            tree.bound(server, dn, "wrong")
    assert iems("user", "add", f"frank@{domain}", "--password-file", "/dev/null")[0] == 1
    assert f"frank@{domain}" not in iems("user", "list")[1]


def test_user_again(server: Slapd, iems: Iems, domain: str, tmp_path: Path) -> None:
    """An existing user keeps his password."""
    file = str(tree.write(tmp_path / "password", "first password\n"))
    iems("user", "add", f"bob@{domain}", "--password-file", file)
    tree.write(Path(file), "second password\n")
    add = ("user", "add", f"Bob@{domain}", "--password-file", file)
    assert iems(*add) == (1, "", f"iems: user bob@{domain} exists\n")
    assert iems(*add, "--exists-ok") == (0, f"unchanged user bob@{domain}\n", "")
    tree.bound(server, tree.user_dn(f"bob@{domain}"), "first password").unbind_s()


@pytest.mark.parametrize("local", ["../x", ".", "a+b", '"a b"', "ü", "a/b"])
def test_user_who_could_not_log_in(iems: Iems, domain: str, local: str) -> None:
    """No name that Dovecot would not let in, or that is a path."""
    code, _out, error = iems("user", "add", f"{local}@{domain}")
    assert code == 1
    assert "cannot log in" in error


def test_user_without_domain(iems: Iems) -> None:
    """The way out is told."""
    code, _out, error = iems("user", "add", "bob@nowhere.test")
    assert code == 1
    assert "iems domain add nowhere.test" in error


def test_user_deleted(iems: Iems, domain: str) -> None:
    """Aliases that still lead to him are named."""
    code, out, error = iems("user", "delete", f"alice@{domain}")
    assert (code, out) == (0, f"deleted user alice@{domain}\n")
    assert f"postmaster@{domain}" in error
    assert iems("user", "delete", f"alice@{domain}")[0] == 1


def test_who_is_deleted_leaves_no_filter(
    iems: Iems, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By himself, or with his domain; of aliases there is none."""
    asked: list[str] = []
    monkeypatch.setattr(leaving, "forget", lambda users, _settings: asked.extend(users))
    for name in ("bob", "carol"):
        assert iems("user", "add", f"{name}@{domain}")[0] == 0
    assert iems("alias", "add", f"both@{domain}", ALICE)[0] == 0
    assert iems("alias", "delete", f"abuse@{domain}")[0] == 0
    assert iems("user", "add", f"abuse@{domain}")[0] == 0
    assert iems("user", "delete", f"Bob@{domain}")[0] == 0
    assert asked == [f"bob@{domain}"]
    assert iems("user", "delete", f"bob@{domain}")[0] == 1
    assert iems("domain", "delete", domain)[0] == 1
    assert asked == [f"bob@{domain}"]
    assert iems("domain", "delete", domain, "--recursive")[0] == 0
    assert sorted(asked[1:]) == [f"abuse@{domain}", ALICE, f"carol@{domain}"]


def test_alias(iems: Iems, domain: str) -> None:
    """Added, listed, deleted."""
    add = ("alias", "add", f"both@{domain}", ALICE, "far@example.net")
    assert iems(*add) == (0, f"added alias both@{domain}\n", "")
    assert iems(*add)[0] == 1
    assert iems(*add, "--exists-ok") == (0, f"unchanged alias both@{domain}\n", "")
    listed = iems("alias", "list", domain)[1].splitlines()
    assert f"both@{domain} -> {ALICE}, far@example.net" in listed
    assert iems("alias", "delete", f"both@{domain}") == (0, f"deleted alias both@{domain}\n", "")
    assert iems("alias", "delete", f"both@{domain}")[0] == 1
    assert iems("alias", "add", f"@{domain}", ALICE) == (0, f"added alias @{domain}\n", "")
    assert f"@{domain} -> {ALICE}" in iems("alias", "list")[1].splitlines()


def test_alias_warnings(iems: Iems, domain: str) -> None:
    """What is made and may not be meant."""
    assert "nobody yet" in iems("alias", "add", f"a@{domain}", f"b@{domain}")[2]
    for name in ("spam", "ham"):
        assert iems("alias", "add", f"{name}@{domain}", f"{name}@{domain}")[2] == ""
    assert "will not accept" in iems("alias", "add", f"b@{domain}", f"a@{domain}")[2]
    assert "gets no mail" in iems("alias", "add", ALICE, "far@example.net")[2]


@pytest.mark.usefixtures("domain")
def test_policy(iems: Iems) -> None:
    """A choice is made, shown, repeated without change, taken back."""
    choose = ("policy", "set", ALICE, "dnsbl/open", "reject")
    told = f"user {ALICE} dnsbl/open:listed"
    assert iems(*choose) == (0, f"set {told} reject\n", "")
    assert iems(*choose) == (0, f"unchanged {told} reject\n", "")
    rows = {
        (row["check"], row["band"]): row
        for row in json.loads(iems("policy", "show", ALICE, "--json")[1])["checks"]
    }
    assert rows["dnsbl/open", "listed"]["action"] == "reject"
    assert rows["dnsbl/open", "listed"]["decided_by"] == f"user {ALICE}"
    assert rows["dnsbl/closed", "listed"]["allowed"] == ["reject"]
    assert rows["iprev", "mismatch"]["allowed"] == ["deliver", "tag", "junk"]
    shown = iems("policy", "show", ALICE)[1]
    assert re.search(rf"^dnsbl/open:listed +reject +by user {ALICE} +may be deliver", shown, re.M)
    assert re.search(r"^dnsbl/closed:listed +reject +by site +enforced$", shown, re.M)
    assert iems("policy", "set", ALICE, "dnsbl/open:listed", "tag")[0] == 0
    assert iems("policy", "unset", ALICE, "dnsbl/open") == (0, f"unset {told}\n", "")
    assert iems("policy", "unset", ALICE, "dnsbl/open") == (0, f"unchanged {told}\n", "")


def test_policy_forbidden(server: Slapd, iems: Iems, domain: str) -> None:
    """Who forbids it, and what is allowed."""
    code, _out, error = iems("policy", "set", ALICE, "dnsbl/closed", "deliver")
    assert code == 1
    assert "site forbids it; allowed: reject" in error
    code, _out, error = iems("policy", "set", domain, "iprev", "reject")
    assert code == 1
    assert "site forbids it; allowed: deliver, tag, junk" in error
    server.modify(
        f"dn: iemsDomainName={domain},ou=domains,o=iems\nchangetype: modify\n"
        f"add: iemsPolicy\niemsPolicy: dnsbl/open listed allow junk,reject\n"
    )
    for subject in (ALICE, domain):
        code, _out, error = iems("policy", "set", subject, "dnsbl/open", "deliver")
        assert code == 1
        assert f"domain {domain} forbids it; allowed: junk, reject" in error
    assert iems("policy", "set", domain, "dnsbl/open", "reject")[0] == 0
    assert json.loads(iems("policy", "show", ALICE, "--json")[1])["checks"][2] == {
        "check": "dnsbl/open",
        "band": "listed",
        "action": "reject",
        "decided_by": f"domain {domain}",
        "allowed": ["junk", "reject"],
        "choice": None,
        "notes": [],
    }


@pytest.mark.parametrize("check", ["nonsense", "dnsbl/open:never", "dnsbl/other", "dnsbl/open:"])
@pytest.mark.usefixtures("domain")
def test_policy_unknown_check(iems: Iems, check: str) -> None:
    """The known ones are listed; a check followed by nothing means its own band."""
    code, _out, error = iems("policy", "set", ALICE, check, "junk")
    if check == "dnsbl/open:":
        assert code == 0
        return
    assert code == 1
    assert "known: dnsbl/closed:listed, dnsbl/closed:temperror, dnsbl/open:listed" in error


def test_policy_of_nobody(iems: Iems, domain: str) -> None:
    """Neither an unknown address nor an unknown domain has one."""
    for subject in (f"nobody@{domain}", "nowhere.test"):
        assert iems("policy", "show", subject)[0] == 1


def test_sender(server: Slapd, iems: Iems, domain: str) -> None:
    """An entry is set, repeated without change, replaced whatever its case, listed, removed."""
    allow = ("sender", "allow", ALICE, "Joe@Example.NET")
    told = f"user {ALICE} allow joe@example.net"
    assert iems(*allow) == (0, f"set {told}\n", "")
    assert iems(*allow) == (0, f"unchanged {told}\n", "")
    assert iems(*allow, "--unverified") == (0, f"set {told} unverified\n", "")
    server.modify(
        f"dn: uid=alice,iemsDomainName={domain},ou=domains,o=iems\nchangetype: modify\n"
        "add: iemsSender\niemsSender: block Example.ORG\niemsSender: nonsense\n"
    )
    assert iems("sender", "block", ALICE, "example.org")[0] == 0
    assert iems("sender", "block", domain, "192.0.2.0/24")[0] == 0
    code, out, error = iems("sender", "list", ALICE)
    assert (code, out) == (0, "block example.org\nallow joe@example.net unverified\n")
    assert "nonsense" in error
    assert json.loads(iems("sender", "list", domain, "--json")[1]) == [
        {"entry": "block", "pattern": "192.0.2.0/24", "unverified": False}
    ]
    assert iems("sender", "remove", ALICE, "example.org")[1].startswith("removed ")
    assert iems("sender", "remove", ALICE, "example.org")[1].startswith("unchanged ")
    assert "example.org" not in iems("sender", "list", ALICE)[1]
    for subject in (f"nobody@{domain}", "nowhere.test"):
        assert iems("sender", "block", subject, "example.org")[0] == 1


def test_usage(iems: Iems) -> None:
    """What is no address, domain or action is told by argparse."""
    for words in (
        ("user", "add", "nobody"),
        ("domain", "add", "a b"),
        ("alias", "add", "x@", ALICE),
        ("policy", "set", ALICE, "iprev", "explode"),
    ):
        with pytest.raises(SystemExit) as raised:
            iems(*words)
        assert raised.value.code == 2


def test_directory_down(server: Slapd, iems: Iems) -> None:
    """A temporary failure for every command."""
    server.stop()
    try:
        for words in (
            ("domain", "list"),
            ("user", "add", ALICE),
            ("alias", "list"),
            ("policy", "show", ALICE),
            ("sender", "list", ALICE),
            ("sender", "block", ALICE, "example.org"),
        ):
            code, out, error = iems(*words)
            assert (code, out) == (75, "")
            assert "cannot answer" in error
    finally:
        server.start()


def test_no_password_of_the_directory(iems: Iems, tmp_path: Path) -> None:
    """A mistake in the settings."""
    (tmp_path / "ldap-admin").write_text("")
    code, _out, error = iems("domain", "list")
    assert code == 78
    assert "ldap-admin" in error
