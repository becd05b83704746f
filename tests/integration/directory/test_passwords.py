"""Passwords: given, changed by the old one, refused, locked; on a real slapd with its own rules."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import ldap
import pytest

from tests.conftest import ROOT
from tests.integration.directory import tree
from tests.integration.directory.conftest import CLI_DOMAIN, SETTINGS, Iems
from tests.integration.stack.ground import Ground, owned
from tests.integration.stack.slapd import BASE, Slapd
from tests.waiting import eventually

ALICE = f"alice@{CLI_DOMAIN}"
ALICE_DN = tree.user_dn(ALICE)
STRICT = f"cn=strict,ou=passwords,{BASE}"


def gets_in(server: Slapd, dn: str, secret: str) -> bool:
    """Whether slapd lets him in."""
    try:
        tree.bound(server, dn, secret).unbind_s()
    except ldap.INVALID_CREDENTIALS:
        return False
    return True


@pytest.mark.usefixtures("domain")
def test_given_by_the_administrator(server: Slapd, iems: Iems, tmp_path: Path) -> None:
    """Generated and printed once, or taken from a file and not printed; in UTF-8."""
    code, out, _error = iems("user", "password", ALICE)
    assert (code, out.splitlines()[0]) == (0, f"set password of {ALICE}")
    assert gets_in(server, ALICE_DN, out.splitlines()[1].removeprefix("password "))
    file = tree.write(tmp_path / "password", "größer als zwölf 🦊\nrest\n")
    assert iems("user", "password", ALICE, "--password-file", str(file)) == (
        0,
        f"set password of {ALICE}\n",
        "",
    )
    assert gets_in(server, ALICE_DN, "größer als zwölf 🦊")
    assert iems("user", "password", f"nobody@{CLI_DOMAIN}")[0] == 1


@pytest.mark.usefixtures("domain")
def test_changed_by_the_old_one(
    server: Slapd, iems: Iems, monkeypatch: pytest.MonkeyPatch, audit: list[str]
) -> None:
    """And by nothing else: neither a wrong one, nor none, nor that of another."""
    first = iems("user", "password", ALICE)[1].splitlines()[1].removeprefix("password ")

    def change(old: str, new: str, whose: str = ALICE) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{old}\n{new}\n"))
        return iems("password", "change", whose, "--password-file", "-")

    for old, whose in (("wrong", ALICE), ("", ALICE), (first, f"nobody@{CLI_DOMAIN}")):
        assert change(old, "new secret of alice", whose)[0] == 1
    assert gets_in(server, ALICE_DN, first)
    assert change(first, "new secret of alice") == (0, f"changed password of {ALICE}\n", "")
    assert gets_in(server, ALICE_DN, "new secret of alice")
    assert not gets_in(server, ALICE_DN, first)
    assert not [line for line in audit if first in line or "secret" in line]
    answers = iter(["new secret of alice", "another secret", "yet another secret"])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    assert "typed in two ways" in iems("password", "change", ALICE)[2]


@pytest.mark.usefixtures("domain")
def test_changed_by_who_is_not_root(server: Slapd, iems: Iems, ground: Ground) -> None:
    """He needs his password and nothing else, also where he may not read the settings."""
    first = iems("user", "password", ALICE)[1].splitlines()[1].removeprefix("password ")
    file = ground.place("settings") / "iems.toml"
    file.write_text(SETTINGS.format(uri=server.ldapi, password="/etc/shadow"))

    def change(old: str) -> tuple[int, str]:
        done = subprocess.run(
            [
                *(sys.executable, "-c", "import sys; from cli.main import main; sys.exit(main())"),
                *("--settings", str(file), "password", "change", ALICE, "--password-file", "-"),
            ],
            input=f"{old}\nnew secret of alice\n",
            env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            user="nobody",
            group="nogroup",
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        return done.returncode, done.stderr

    assert change("wrong")[0] == 1
    assert change(first)[0] == 0
    assert gets_in(server, ALICE_DN, "new secret of alice")
    # The directory of this machine has no such user, if there is one.
    owned(file, "root", "root", 0o600)
    code, error = change("new secret of alice")
    assert code in {1, 75}, error


@pytest.mark.usefixtures("domain")
def test_too_short_is_refused_wherever_it_is_set(
    server: Slapd, iems: Iems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a new user, a given password and a changed one; nothing is changed by it."""
    secret = iems("user", "password", ALICE)[1].splitlines()[1].removeprefix("password ")
    for words, text in (
        (("user", "add", f"bob@{CLI_DOMAIN}", "--password-file", "-"), "123456789\n"),
        (("user", "password", ALICE, "--password-file", "-"), "123456789\n"),
        (("password", "change", ALICE, "--password-file", "-"), f"{secret}\n123456789\n"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        code, _out, error = iems(*words)
        assert code == 1
        assert "quality" in error
    assert gets_in(server, ALICE_DN, secret)
    assert iems("user", "show", f"bob@{CLI_DOMAIN}")[0] == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("{SSHA}looks like a hash\n"))
    assert iems("user", "add", f"bob@{CLI_DOMAIN}", "--password-file", "-")[0] == 1


@pytest.mark.usefixtures("domain")
def test_lock_and_unlock(server: Slapd, iems: Iems) -> None:
    """By the administrator, and after too many wrong passwords; services are never locked."""
    secret = iems("user", "password", ALICE)[1].splitlines()[1].removeprefix("password ")
    assert iems("user", "set", ALICE, "--locked")[0] == 0
    assert not gets_in(server, ALICE_DN, secret)
    assert "locked       yes" in iems("user", "show", ALICE)[1]
    assert iems("user", "set", ALICE, "--unlocked")[0] == 0
    assert gets_in(server, ALICE_DN, secret)
    for _number in range(20):
        assert not gets_in(server, ALICE_DN, "wrong")
        assert not gets_in(server, tree.service_dn("postfix"), "wrong")
    assert not gets_in(server, ALICE_DN, secret)
    assert gets_in(server, tree.service_dn("postfix"), tree.password("postfix"))
    assert iems("user", "set", ALICE, "--unlocked")[0] == 0
    assert gets_in(server, ALICE_DN, secret)


@pytest.mark.usefixtures("domain")
def test_a_password_ends_where_the_site_wants_it(server: Slapd, iems: Iems) -> None:
    """By rules of its own for one user, as for all."""
    secret = iems("user", "password", ALICE)[1].splitlines()[1].removeprefix("password ")
    server.add(
        f"dn: {STRICT}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: strict\n"
        f"pwdAttribute: userPassword\npwdMaxAge: 1\n"
    )
    server.modify(
        f"dn: {ALICE_DN}\nchangetype: modify\nadd: pwdPolicySubentry\npwdPolicySubentry: {STRICT}\n"
    )
    eventually(lambda: not gets_in(server, ALICE_DN, secret), 10)
    server.delete(STRICT)


@pytest.fixture
def first_version(ground: Ground) -> Iterator[Slapd]:
    """A server with the settings of today and a tree without passwords' rules and contacts."""
    server = tree.start(ground)
    for name in ("passwords", "contacts"):
        server.delete(f"ou={name},{BASE}")
    for name in tree.SERVICES:
        server.modify(
            f"dn: {tree.service_dn(name)}\nchangetype: modify\ndelete: pwdPolicySubentry\n"
        )
    yield server
    server.stop()


def plant(server: Slapd, folder: Path) -> str:
    """Run the role's own tasks for the tree against this server; how Ansible sums it up."""
    for name in tree.SERVICES:
        (folder / f"ldap-{name}").write_text(tree.password(name))
    values = {
        "ldap_uri": server.ldapi,
        "ldap_base": BASE,
        "ldap_accounts": list(tree.SERVICES),
        "keys": str(folder),
        "templates": str(ROOT / "templates"),
    }
    role = {"name": str(ROOT / "ansible/roles/openldap"), "tasks_from": "tree"}
    tasks = [{"ansible.builtin.include_role": role}]
    play = {"hosts": "localhost", "gather_facts": False, "vars": values, "tasks": tasks}
    book = folder / "tree.json"
    book.write_text(json.dumps([play]))
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", str(book)],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rpartition("localhost")[2]


@pytest.mark.timeout(400)
def test_a_tree_of_the_first_version_gets_the_rules(first_version: Slapd, tmp_path: Path) -> None:
    """By the role's own tasks; what was there stays, and everybody gets in all the while."""
    first_version.add(tree.domain("old.test") + tree.user("old@old.test"))
    everybody = [(tree.user_dn("old@old.test"), tree.password("old"))]
    everybody += [(tree.service_dn(name), tree.password(name)) for name in tree.SERVICES]
    over = threading.Event()
    kept_out: list[str] = []

    def come_and_go() -> None:
        while not over.wait(0.05):
            kept_out.extend(
                dn for dn, secret in everybody if not gets_in(first_version, dn, secret)
            )

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        # The tree, and a rule for each service.
        assert f"changed={1 + len(tree.SERVICES)} " in plant(first_version, tmp_path)
        assert "changed=0 " in plant(first_version, tmp_path)
    finally:
        over.set()
        thread.join()
    assert not kept_out
    first_version.add(tree.book("old@old.test"))
    old = tree.bound(first_version, *everybody[0])
    with pytest.raises(ldap.CONSTRAINT_VIOLATION):
        old.passwd_s(everybody[0][0], everybody[0][1], "short")
    old.unbind_s()
    for _number in range(20):
        assert not gets_in(first_version, tree.service_dn("postfix"), "wrong")
    assert gets_in(first_version, tree.service_dn("postfix"), tree.password("postfix"))
