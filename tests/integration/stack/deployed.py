"""What the playbook writes on a server, rendered by Ansible from its own templates and values.

The private servers run on this text, so that what is deployed cannot be wrong unnoticed. Passwords
are the word SECRET; sockets and folders are a real server's, and whoever needs others replaces
them.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iems.directory.rights import access_rules, read_rights
from tests.conftest import ROOT
from tests.integration.stack.programs import run

_VALUES = (
    "group_vars/all.yml",
    "roles/postfix/defaults/main.yml",
    "roles/dovecot/defaults/main.yml",
)
_ALL = """\
{%- set files = {
    "postfix": postfix_files + postfix_maps,
    "dovecot": dovecot_files,
    "postfix-bounces": postfix_bounces_files,
    "openldap": openldap_files,
} -%}
{%- set rendered = {} -%}
{%- for role, items in files.items() -%}
{%- for item in items if only in ["", role ~ "/" ~ item.path] -%}
{%- set source = [templates, role, item.template | default(item.path ~ ".j2")] | join("/") -%}
{%- set text = lookup("template", source, template_vars={"item": item}, convert_data=False) -%}
{%- set _done = rendered.update({role ~ "/" ~ item.path: text}) -%}
{%- endfor -%}
{%- endfor -%}
{{ rendered | to_json }}"""
"""The text of every file by its name; the roles have a task for each."""

_SECRET = {"content": base64.b64encode(b"SECRET").decode()}


@dataclass(frozen=True)
class Service:
    """One service of master.cf: its words, and what its -o options set."""

    words: tuple[str, ...]
    options: Mapping[str, str]

    def line(self) -> str:
        """Its lines of master.cf."""
        rows = [f"  -o {{ {name} = {value} }}" for name, value in self.options.items()]
        return "\n".join([" ".join(self.words), *rows])


def text(name: str, *switched_on: str, **values: str) -> str:
    """A file below /etc on a server, such as `postfix/main.cf`; with these switches on."""
    other = (*((one, True) for one in switched_on), *values.items())
    return _rendered(other, name if other else "")[name]


@functools.cache
def values(name: str, *switched_on: str) -> Mapping[str, str]:
    """Its lines `name = value`."""
    written = text(name, *switched_on).splitlines()
    lines = (line.partition("=") for line in written if line[:1] not in {"", "#"})
    return {name.strip(): value.strip() for name, equals, value in lines if equals}


def maps() -> list[str]:
    """The names of Postfix's questions to the directory, such as `domains.cf`."""
    paths = (Path(name) for name in _rendered())
    return sorted(path.name for path in paths if str(path.parent) == "postfix/ldap")


def service(name: str, kind: str = "unix", instance: str = "postfix") -> Service:
    """A service of the deployed master.cf."""
    lines = [
        line for line in text(f"{instance}/master.cf").splitlines() if line[:1] not in {"", "#"}
    ]
    starts = [number for number, line in enumerate(lines) if line[0] != " "]
    [start] = [number for number in starts if lines[number].split()[:2] == [name, kind]]
    end = min((number for number in starts if number > start), default=len(lines))
    options = (line.strip().removeprefix("-o ").partition("=") for line in lines[start + 1 : end])
    return Service(tuple(lines[start].split()), {key: value for key, _equals, value in options})


def transport() -> dict[str, str]:
    """The settings of main.cf for the agent's transport."""
    return {
        name: value
        for name, value in values("postfix/main.cf").items()
        if name.startswith("iems-lmtp_")
    }


@functools.cache
def _rendered(other: tuple[tuple[str, object], ...] = (), only: str = "") -> Mapping[str, str]:
    """Every file, or only this one, with other values of some variables."""
    with tempfile.TemporaryDirectory(prefix="iems-deployed-") as place:
        return _play(Path(place), dict(other), only)


def _rules() -> list[str]:
    """What the role prints of the table of rights."""
    table = read_rights((ROOT / "templates/openldap/rights.toml").read_text())
    return [f"olcAccess: {rule}" for rule in access_rules(table)]


def _play(folder: Path, other: Mapping[str, object], only: str) -> Mapping[str, str]:
    """Render with the values that the roles have; what a task would read of a server is given.

    All of it in one task: each takes Ansible a second or two on a busy machine.
    """
    given = {
        "templates": str(ROOT / "templates"),
        "postfix_ldap_password": _SECRET,
        "dovecot_ldap_password": _SECRET,
        "dovecot_vmail": {"uid": 1000},
        "dovecot_master_password": _SECRET,
        "dovecot_sieve_password": _SECRET,
        "dovecot_files": [
            {"path": "dovecot.conf"},
            {"path": "dovecot-ldap.conf.ext"},
            {"path": "master-users"},
            {"path": "sieve-master-users"},
        ],
        "checked_target": "/etc/dovecot",
        "openldap_files": [{"path": "config.ldif"}],
        "openldap_rights": {"stdout_lines": _rules()},
        "checked_stage": "/staged",
        **other,
    }
    rendered = folder / "rendered.json"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "ansible" / name) for name in _VALUES],
        "vars": {"only": only},
        "tasks": [{"copy": {"dest": str(rendered), "content": _ALL}}],
    }
    playbook = folder / "play.json"
    playbook.write_text(json.dumps([play]))
    run(
        *("ansible-playbook", "-i", "localhost,", "-c", "local", "-e", json.dumps(given)),
        playbook,
        environment={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"),
        },
    )
    files: dict[str, str] = json.loads(rendered.read_text())
    return files
