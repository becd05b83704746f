"""The playbook as text: it parses, tells the truth about changes and leaves no template unused."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import manual
from tests import shouting

TREE = Path(__file__).parents[3]
PLAYS = ("site.yml", "rollback.yml", "uninstall.yml")

LEAVE_NOTHING = {
    # What runs, and what there is.
    "/usr/bin/python3 {{ tree }}/scripts/release.py",
    "{{ release }}/bin/iems --version",
    "{{ release }}/bin/python -I -m iems.directory.rights {{ templates }}/openldap/rights.toml",
    "/usr/local/bin/iems domain list --json",
    "/usr/local/bin/iems user list --json",
    "/usr/local/bin/iems user show {{ canary }} --json",
    "/usr/local/bin/iems alias list --json",
    "test /etc/aliases.db -nt /etc/aliases",
    "test /etc/dovecot/sieve/{{ item }}.svbin -nt /etc/dovecot/sieve/{{ item }}.sieve",
    "openssl pkey -in {{ tls_wanted.key }} -pubout",
    "openssl x509 -in {{ tls_wanted.cert }} -noout -pubkey -checkend 0",
    "ldapwhoami -x -H {{ ldap_uri }} -D cn={{ account }},ou=services,{{ ldap_base }}"
    " -y {{ keys }}/ldap-{{ account }}",
    "ldapsearch -LLL -o ldif_wrap=no -Y EXTERNAL -Q -H {{ ldap_uri }} -b {{ ldap_base }}"
    " -s children (&(|(objectClass=organizationalUnit)(objectClass=applicationProcess)"
    "(objectClass=pwdPolicy))(!(ou:dn:=contacts))) dn",
    "ldapsearch -LLL -Y EXTERNAL -Q -H {{ ldap_uri }} -b ou=contacts,{{ ldap_base }} -s base dn",
    "ldapsearch -LLL -o ldif_wrap=no -Y EXTERNAL -Q -H {{ ldap_uri }}"
    " -b ou=services,{{ ldap_base }} -s one (!(pwdPolicySubentry=*)) dn",
    # Checkers; sievec -d writes what it compiled to standard output.
    "{{ release }}/bin/iems --settings {{ staged }}/iems/iems.toml check",
    "{{ release }}/bin/iems check",
    "{{ tree }}/scripts/slapd-config {{ staged }}/openldap/config.ldif",
    "doveconf -n -c {{ staged }}/dovecot/dovecot.conf",
    "sievec -c {{ staged }}/dovecot/dovecot.conf -d {{ staged }}/dovecot/sieve/junk.sieve -",
    "sievec -c {{ staged }}/dovecot/dovecot.conf -d {{ staged }}/dovecot/sieve/learn.sieve -",
    "postfix -c {{ staged }}/postfix check",
    'sh -c ! postconf -c "$1" -n 2>&1 >/dev/null | grep . postconf {{ staged }}/postfix',
    'sh -c ! postconf -c "$1" -M 2>&1 >/dev/null | grep . postconf {{ staged }}/postfix',
    "postfix -c {{ staged }}/postfix-bounces check",
    'sh -c ! postconf -c "$1" -n 2>&1 >/dev/null | grep . postconf {{ staged }}/postfix-bounces',
    'sh -c ! postconf -c "$1" -M 2>&1 >/dev/null | grep . postconf {{ staged }}/postfix-bounces',
    "postfix -c {{ postfix_bounces }} status",
    "postmap -c {{ staged }}/postfix -q {{ domain }} ldap:{{ staged }}/postfix/ldap/domains.cf",
    # What it sends, it takes away again.
    "/usr/local/bin/iems probe",
}


def tasks() -> list[Path]:
    """Every file of tasks and handlers."""
    found = sorted((TREE / "ansible").rglob("*.yml"))
    assert found
    return found


@pytest.mark.parametrize("play", PLAYS)
def test_it_parses(play: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "ansible/inventories/local",
            "--syntax-check",
            f"ansible/{play}",
        ],
        cwd=TREE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ANSIBLE_CONFIG": "ansible/ansible.cfg",
        },
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_what_leaves_nothing_behind_says_that_it_changes_nothing() -> None:
    """Each `changed_when` is of a command that is known, word by word, to leave nothing behind."""
    silent = [one for one in mappings() if "changed_when" in one]
    assert {str(one["changed_when"]) for one in silent} == {"False"}
    words = [one["ansible.builtin.command"]["argv"] for one in silent]
    words.remove("{{ item }}")  # roles/checked
    words += [line for one in mappings() for line in one.get("checked_commands", ())]
    assert {" ".join(argv) for argv in words} == LEAVE_NOTHING


def mappings() -> Iterator[dict[str, Any]]:
    """Every mapping of the playbook, tasks among them; read by Ansible's own Python and YAML."""
    read = (
        "import json, sys, yaml; print(json.dumps([yaml.safe_load(open(f)) for f in sys.argv[1:]]))"
    )
    found = subprocess.run(
        ["/usr/bin/python3", "-c", read, *map(str, tasks())],
        capture_output=True,
        timeout=110,
        check=True,
    )
    left: list[Any] = [json.loads(found.stdout)]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
        if isinstance(one, dict | list):
            left += one.values() if isinstance(one, dict) else one


def test_no_secret_is_logged() -> None:
    """What handles a password says no_log, and none stands among a command's words."""
    for path in tasks():
        for task in re.split(r"\n(?=\s*- name:)", path.read_text()):
            if (
                "builtin.password'" in task
                or "slappasswd" in task
                or "accounts_password }}" in task
            ):
                assert "no_log: true" in task or "stdin:" in task, f"{path}: {task}"
            argv = re.search(r"argv:(.*?)(\n\s{0,6}\w|\Z)", task, re.DOTALL)
            assert not argv or "accounts_password" not in argv[1], f"{path}: {task}"


def test_every_template_is_used() -> None:
    text = "\n".join(path.read_text() for path in tasks())
    for path in sorted((TREE / "templates").rglob("*")):
        if path.is_file():
            name = path.name.removesuffix(".j2")
            daemon = re.fullmatch(r"iems-(milter|lmtp|bayes)(\.service|\.socket)?", name)
            assert daemon or name in text, path


def test_every_man_page_is_installed() -> None:
    """And the completion; what the release makes is what is linked to it."""
    listed = (TREE / "ansible/group_vars/all.yml").read_text().partition("suite_share:\n")[2]
    found = re.match(r"(?:  - \S+\n)+", listed)
    assert found
    assert set(found[0].split()) - {"-"} == set(manual.files("9.8"))


def test_every_role_is_used() -> None:
    text = "\n".join(path.read_text() for path in tasks())
    for role in sorted((TREE / "ansible/roles").iterdir()):
        assert re.search(rf"(- |name: ){role.name}\b", text), role.name


def test_checks_of_others_are_found_where_the_page_has_them_installed() -> None:
    """Each release looks there, and the folder is there before a daemon starts."""
    text = (TREE / "ansible/roles/release/tasks/main.yml").read_text()
    install, _test = shouting.commands()
    target = install[install.index("--target") + 1]
    assert f"echo {target} > " in text
    assert f"path: {target}\n    state: directory" in text
