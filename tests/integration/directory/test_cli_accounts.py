"""Kinds of accounts, other names of domains, administrators and the audit, typed as commands."""

from __future__ import annotations

import errno
import functools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from iems.serve.log import Log
from tests.integration.directory import tree
from tests.integration.directory.conftest import CLI_DOMAIN, Iems

DOMAIN = CLI_DOMAIN
ALICE = f"alice@{DOMAIN}"
GONE = os.strerror(errno.ENOENT)


def test_user_set_and_show(iems: Iems, domain: str) -> None:
    """Each setting, taken back again; what changes nothing says so."""
    iems("alias", "add", f"both@{domain}", ALICE, "far@example.net")
    left = ("user", "set", ALICE, "--disabled", "has left")
    code, out, error = iems(*left)
    assert (code, out) == (0, f"set user {ALICE}\n")
    assert f"alias both@{domain} still leads to {ALICE}" in error
    assert iems(*left)[1] == f"unchanged user {ALICE}\n"
    assert iems("user", "set", ALICE, "--kind", "send-only", "--enabled")[0] == 0
    assert iems("user", "set", ALICE, "--forward", "Far@example.net", "--keep")[0] == 0
    assert json.loads(iems("user", "show", ALICE, "--json")[1]) == {
        "address": ALICE,
        "disabled": None,
        "locked": False,
        "kind": "send-only",
        "pop3_only": False,
        "language": None,
        "bayes": None,
        "person": {"name": "alice", "surname": "alice"},
        "forward": [ALICE, "far@example.net"],
        "aliases": [f"abuse@{domain}", f"both@{domain}", f"postmaster@{domain}"],
        "administers": [],
    }
    assert f"forward      {ALICE}, far@example.net" in iems("user", "show", ALICE)[1]
    assert iems("user", "set", ALICE, "--kind", "full", "--no-forward")[0] == 0
    shown = json.loads(iems("user", "show", ALICE, "--json")[1])
    assert (shown["kind"], shown["forward"]) == ("full", [])
    assert iems("user", "set", ALICE, "--pop3-only")[1].startswith("set ")
    assert json.loads(iems("user", "show", ALICE, "--json")[1])["pop3_only"] is True
    assert iems("user", "set", ALICE, "--imap")[1].startswith("set ")
    assert json.loads(iems("user", "show", ALICE, "--json")[1])["pop3_only"] is False
    assert iems("user", "set", ALICE, "--language", "de")[1].startswith("set ")
    assert json.loads(iems("user", "show", ALICE, "--json")[1])["language"] == "de"
    assert iems("user", "set", ALICE, "--language", "site")[1].startswith("set ")
    assert json.loads(iems("user", "show", ALICE, "--json")[1])["language"] is None
    assert iems("user", "set", ALICE, "--bayes", "shadow")[1].startswith("set ")
    assert json.loads(iems("user", "show", ALICE, "--json")[1])["bayes"] == "shadow"
    assert iems("user", "set", ALICE, "--bayes", "default")[1].startswith("set ")
    assert json.loads(iems("user", "show", ALICE, "--json")[1])["bayes"] is None
    assert iems("user", "set", ALICE, "--keep")[0] == 2
    for verb in ("set", "show"):
        words = ("--enabled",) if verb == "set" else ()
        assert iems("user", verb, f"nobody@{domain}", *words)[0] == 1


def test_what_is_known_of_a_person(iems: Iems, domain: str) -> None:
    """Each value for itself; what is not named stays."""
    dora = f"dora@{domain}"
    iems("user", "add", dora)
    told = ("name=Dora Dörr", "title=Head = of it", "phone=+49 30 1")
    assert iems("user", "set", dora, "--person", *told) == (0, f"set user {dora}\n", "")
    assert iems("user", "set", dora, "--person", *told)[1] == f"unchanged user {dora}\n"
    assert iems("user", "set", dora, "--person", "phone=", "place=Köln")[0] == 0
    assert json.loads(iems("user", "show", dora, "--json")[1])["person"] == {
        "name": "Dora Dörr",
        "surname": "dora",
        "title": "Head = of it",
        "place": "Köln",
    }
    shown = "person       name=Dora Dörr, surname=dora, title=Head = of it, place=Köln\n"
    assert shown in iems("user", "show", dora)[1]
    iems("user", "delete", dora)


@pytest.mark.parametrize(
    "said", ["fone=1", "phone", "title=two\nlines", "name=", "title=" + "x" * 401]
)
def test_what_nobody_can_be_known_by(iems: Iems, domain: str, said: str) -> None:
    """The names are those of templates, and a value is one line."""
    with pytest.raises(SystemExit) as raised:
        iems("user", "set", f"alice@{domain}", "--person", said)
    assert raised.value.code == 2


@pytest.mark.parametrize("reason", ["", "über", "two\nlines", "x" * 201])
def test_reason_that_fits_no_reply(iems: Iems, domain: str, reason: str) -> None:
    """It is told to senders in one line of ASCII."""
    with pytest.raises(SystemExit) as raised:
        iems("user", "set", f"alice@{domain}", "--disabled", reason)
    assert raised.value.code == 2


def test_domain_alias(iems: Iems, domain: str) -> None:
    """Another name of a domain, of one that is none itself; it has no entries of its own."""
    name = f"other.{domain}"
    iems("domain", "delete", name, "--recursive")
    add = ("domain", "add", name, "--alias-of", domain)
    assert iems(*add) == (0, f"added domain {name} -> {domain}\n", "")
    assert iems(*add)[0] == 1
    assert iems(*add, "--exists-ok") == (0, f"unchanged domain {name} -> {domain}\n", "")
    assert iems("alias", "list", name)[1] == f"@{name} -> @{domain}\n"
    assert f"{name} -> {domain}" in iems("domain", "list")[1].splitlines()
    assert {"domain": name, "alias_of": domain} in json.loads(iems("domain", "list", "--json")[1])
    code, _out, error = iems("domain", "add", "third.cli.test", "--alias-of", name)
    assert (code, error) == (1, f"iems: {name} is another name of {domain} itself\n")
    assert iems("domain", "add", "third.cli.test", "--alias-of", "nowhere.test")[0] == 1
    assert "third.cli.test" not in iems("domain", "list")[1]
    assert f"{name} is still another name" in iems("domain", "delete", domain, "--recursive")[2]
    assert iems("domain", "delete", name, "--recursive")[0] == 0


def test_domain_administrator(iems: Iems, domain: str) -> None:
    """Named, listed, taken back; his right goes with him, alone or with his whole domain."""
    other = f"home.{domain}"
    iems("domain", "delete", other, "--recursive")
    iems("domain", "add", other, "--postmaster", ALICE)
    admin = ("domain", "admin")
    dan = f"dan@{other}"
    assert iems(*admin, "add", domain, dan)[0] == 1
    for removal in (("user", "delete", dan), ("domain", "delete", other, "--recursive")):
        iems("user", "add", dan)
        assert iems(*admin, "add", domain, dan) == (
            0,
            f"added administrator {dan} of {domain}\n",
            "",
        )
        assert iems(*admin, "add", domain, dan)[1].startswith("unchanged ")
        assert iems(*admin, "list", domain) == (0, f"{dan}\n", "")
        assert json.loads(iems(*admin, "list", domain, "--json")[1]) == [
            {"domain": domain, "admin": dan}
        ]
        assert json.loads(iems("user", "show", dan, "--json")[1])["administers"] == [domain]
        assert iems(*removal)[0] == 0
        assert iems(*admin, "list", domain) == (0, "", "")
    iems(*admin, "add", domain, ALICE)
    assert iems(*admin, "delete", domain, ALICE)[1].startswith("deleted ")
    assert iems(*admin, "delete", domain, ALICE)[1].startswith("unchanged ")
    assert iems(*admin, "list", "nowhere.test")[0] == 1


@pytest.mark.usefixtures("domain")
def test_policy_as_a_user(iems: Iems, monkeypatch: pytest.MonkeyPatch) -> None:
    """His own and nobody else's; a domain administrator those of his domain; root alone asks so."""
    bob = f"bob@{DOMAIN}"
    iems("user", "add", bob)
    choose = ("policy", "set", "--as", ALICE)
    assert iems(*choose, ALICE, "dnsbl/open", "reject")[0] == 0
    assert iems("policy", "show", "--as", ALICE, ALICE)[0] == 0
    for subject in (bob, DOMAIN, "nobody@nowhere.test"):
        for words in (
            (*choose, subject, "dnsbl/open", "reject"),
            ("policy", "show", "--as", ALICE, subject),
            ("policy", "unset", "--as", ALICE, subject, "dnsbl/open"),
        ):
            code, out, error = iems(*words)
            assert (code, out) == (77, "")
            assert f"user {ALICE} may not" in error
    assert iems("policy", "set", "--as", ALICE, ALICE, "dnsbl/closed", "deliver")[0] == 1
    iems("domain", "admin", "add", DOMAIN, bob)
    for subject in (ALICE, bob, DOMAIN):
        assert iems("policy", "set", "--as", bob, subject, "dnsbl/open", "junk")[0] == 0
    assert iems("policy", "set", "--as", bob, DOMAIN, "dnsbl/closed", "deliver")[0] == 1
    assert iems("policy", "show", "--as", bob, "example.test")[0] == 77
    assert iems("policy", "show", "--as", f"nobody@{DOMAIN}", ALICE)[0] == 77
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    code, _out, error = iems("policy", "show", "--as", ALICE, ALICE)
    assert (code, error) == (77, "iems: only root may act as somebody else\n")


@pytest.mark.usefixtures("domain")
def test_sender_as_a_user(iems: Iems, audit: list[str]) -> None:
    """His own list and nobody else's; a domain administrator those of his domain."""
    bob = f"bob@{DOMAIN}"
    iems("user", "add", bob)
    audit.clear()
    assert iems("sender", "block", "--as", ALICE, ALICE, "example.net")[0] == 0
    assert iems("sender", "list", "--as", ALICE, ALICE)[1] == "block example.net\n"
    for subject in (bob, DOMAIN, "nobody@nowhere.test"):
        for words in (
            ("sender", "block", "--as", ALICE, subject, "example.net"),
            ("sender", "remove", "--as", ALICE, subject, "example.net"),
            ("sender", "list", "--as", ALICE, subject),
        ):
            code, out, error = iems(*words)
            assert (code, out) == (77, "")
            assert f"user {ALICE} may not" in error
    assert any(f'object="sender {ALICE}" result="done"' in line for line in audit)
    assert any(f'object="sender {bob}" result="NotAuthorisedError"' in line for line in audit)
    iems("domain", "admin", "add", DOMAIN, bob)
    for subject in (ALICE, bob, DOMAIN):
        assert iems("sender", "allow", "--as", bob, subject, "example.net")[0] == 0


@pytest.mark.usefixtures("domain")
def test_filter_as_a_user(iems: Iems, audit: list[str], tmp_path: Path) -> None:
    """His own and nobody else's, on or not as the directory says; those in a domain its admin's."""
    bob, socket = f"bob@{DOMAIN}", tmp_path / "nobody-listens"
    iems("user", "add", bob)
    with (tmp_path / "iems.toml").open("a") as settings:
        settings.write(f'[bayes]\nstore = "{tmp_path}"\nsocket = "{socket}"\n')
        settings.write('[checks.bayes]\nmode = "delegate"\n')
    nothing = f"{ALICE}: the filter is {{}}\n  trained    nothing\n"
    assert iems("bayes", "status", "--as", ALICE, ALICE)[:2] == (1, nothing.format("on"))
    iems("user", "set", ALICE, "--bayes", "shadow")
    assert iems("bayes", "status", "--as", ALICE, ALICE)[:2] == (1, nothing.format("shadow"))
    wanted = ("reset", "--as", ALICE, ALICE, "--yes")
    assert iems("bayes", *wanted)[::2] == (75, f"iems: cannot reach {socket}: {GONE}\n")
    for subject in (bob, "nobody@nowhere.test"):
        for verb, *rest in (("status",), ("undo", "0" * 32), ("reset", "--yes"), ("export",)):
            code, out, error = iems("bayes", verb, "--as", ALICE, subject, *rest)
            assert (code, out) == (77, "")
            assert f"user {ALICE} may not" in error
    assert iems("bayes", "status", "--as", ALICE)[0] == 77
    assert any(f'object="bayes {bob}" result="NotAuthorisedError"' in line for line in audit)
    iems("domain", "admin", "add", DOMAIN, bob)
    assert iems("bayes", "status", "--as", bob, ALICE)[0] == 1
    assert iems("bayes", "status", "--as", bob, "alice@example.test")[0] == 77


def test_every_write_is_audited(
    iems: Iems, domain: str, audit: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who typed, with whose rights, what, of what, and what became of it; no secret."""
    monkeypatch.setattr("cli.entries.operator", lambda: "carol")
    bob = f"bob@{domain}"
    secret = tree.write(tmp_path / "password", "s3cret of bob\n")
    add = ("user", "add", bob, "--password-file", str(secret))
    choose = ("policy", "set", "--as")
    audit.clear()
    for words in (
        add,
        add,
        ("user", "set", bob, "--disabled", "left"),
        ("domain", "admin", "add", domain, ALICE),
        (*choose, ALICE, bob, "dnsbl/open", "junk"),
        (*choose, bob, "example.test", "dnsbl/open", "junk"),
        ("user", "delete", ALICE),
    ):
        iems(*words)
    admin = f"admin {ALICE} of {domain}"
    assert audit == [
        f'audit actor="carol" rights="{rights}" verb="{verb}" object="{thing}" result="{result}"'
        for rights, verb, thing, result in (
            ("site", "add", f"user {bob}", "done"),
            ("site", "add", f"address-book {bob}", "done"),
            ("site", "add", f"user {bob}", "EntryExistsError"),
            ("site", "set", f"user {bob}", "done"),
            ("site", "add", admin, "done"),
            (f"user {ALICE}", "set", f"policy {bob}", "done"),
            (f"user {bob}", "set", "policy example.test", "NotAuthorisedError"),
            ("site", "delete", admin, "done"),
            ("site", "delete", f"user {ALICE}", "done"),
        )
    ]


def test_a_syslogd_that_takes_no_audit_is_told(
    iems: Iems, domain: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The change is made, and whoever made it knows."""
    log = functools.partial(Log.open, path=tmp_path / "nowhere")
    monkeypatch.setattr("cli.entries.Log", SimpleNamespace(open=log))
    code, _out, error = iems("user", "delete", f"alice@{domain}")
    assert code == 0
    assert "1 lines of the audit were not taken by syslogd" in error
