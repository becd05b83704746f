"""How fast the scripts of many users are brought to what their rules say.

`iems mailsort install DOMAIN` with a private slapd, which syncs what it writes, and a private
Dovecot that finds its users there, both as deployed. Each user has as many rules as a person may
have, and a vacation; no two have the same. First none has a script yet, then every script is as it
should be, then one user in ten has other rules: each of these by ManageSieve for the users of one
domain, and at once after it by doveadm for as many of another.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.sieve import rules
from bench.suite import REPOSITORY
from iems.settings.mailsort import DOVEADM, MANAGESIEVE
from sieve.mailsort.rule import Mailsort, Vacation
from sieve.mailsort.write import to_json
from tests.integration.directory import tree
from tests.integration.stack import deployed
from tests.integration.stack import rules as scripts
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, running, users
from tests.integration.stack.slapd import Slapd

_USERS = 1000
_RULES = 10
_EVERY = 10
"""One user in so many has other rules in the last run."""

_WAYS = (MANAGESIEVE, DOVEADM)
_USERDB = """\
userdb {{
  driver = ldap
  args = {file}
}}
"""
_SETTINGS = """\
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
uri = "{uri}"
[admin]
ldap_password_file = "{folder}/ldap-admin"
[mailsort]
install = "{way}"
managesieve = "127.0.0.1:{port}"
master_password_file = "{folder}/dovecot-sieve"
"""


def measure(_rounds: int, _messages: int) -> str:
    """Run everything; the table."""
    users()
    with ExitStack() as stack:
        ground = Ground()
        stack.callback(ground.close)
        slapd = tree.start(ground, log="none")
        stack.callback(slapd.stop)
        slapd.configure(
            "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\n"
            "replace: olcDbNoSync\nolcDbNoSync: FALSE\n"
        )
        dovecot = stack.enter_context(running(_dovecot(ground, slapd)))
        assert isinstance(dovecot, Dovecot)
        runs = {way: _Run(way, ground.place(way), slapd, dovecot) for way in _WAYS}
        for way in _WAYS:
            entries = (tree.user(_user(way, one), _stored(one)) for one in range(_USERS))
            slapd.add(tree.domain(_domain(way)) + "".join(entries))
        rows = [_row("no script yet", runs, {"installed": _USERS})]
        rows.append(_row("nothing to do", runs, {"unchanged": _USERS}))
        others = range(0, _USERS, _EVERY)
        slapd.modify("\n".join(_change(way, one) for way in _WAYS for one in others))
        found = {"installed": len(others), "unchanged": _USERS - len(others)}
        rows.append(_row(f"1 in {_EVERY} has other rules", runs, found))
    head = (
        f"| {_USERS:,} users of {_RULES} rules | by ManageSieve, users/s | 10,000 take "
        "| by doveadm, users/s | 10,000 take | ratio |\n| --- | --- | --- | --- | --- | --- |"
    )
    return "\n".join(["## Rules of many users installed", "", head, *rows, ""])


def _row(name: str, runs: Mapping[str, _Run], expected: dict[str, int]) -> str:
    rates = [_USERS / runs[way].seconds(expected) for way in _WAYS]
    cells = [f"{rate:.0f} | {10_000 / rate:.0f} s" for rate in rates]
    row = f"| {name} | {' | '.join(cells)} | {rates[1] / rates[0]:.2f} |"
    print(row, flush=True)
    return row


class _Run:
    """`iems mailsort install` by one way, for the users of the domain that has its name."""

    def __init__(self, way: str, folder: Path, slapd: Slapd, dovecot: Dovecot) -> None:
        tree.write(folder / "ldap-admin", tree.password("admin") + "\n")
        tree.write(folder / "dovecot-sieve", scripts.SECRET + "\n")
        values = {"uri": slapd.ldapi, "folder": folder, "port": dovecot.sieve, "way": way}
        settings = tree.write(folder / "iems.toml", _SETTINGS.format(**values))
        words = ["--settings", str(settings), "mailsort", "install", "--json", _domain(way)]
        call = "import sys; from cli.main import main; sys.exit(main())"
        self._command = [sys.executable, "-c", call, *words]
        paths = {"PYTHONPATH": str(REPOSITORY), "CONFIG_FILE": str(dovecot.config)}
        self._environment = {**os.environ, **paths}

    def seconds(self, expected: dict[str, int]) -> float:
        """How long it takes, which has to come to so many of each outcome."""
        began = time.perf_counter()
        done = subprocess.run(
            self._command, env=self._environment, stdout=subprocess.PIPE, check=True
        )
        seconds = time.perf_counter() - began
        outcomes = [json.loads(line)["outcome"] for line in done.stdout.splitlines()]
        assert {word: outcomes.count(word) for word in set(outcomes)} == expected
        return seconds


def _dovecot(ground: Ground, slapd: Slapd) -> Dovecot:
    file = ground.place("dovecot-ldap") / "dovecot-ldap.conf.ext"
    server = Dovecot(ground, extra=tree.logins() + _USERDB.format(file=file))
    scripts.deploy(server)
    text = tree.on(slapd, deployed.text("dovecot/dovecot-ldap.conf.ext"), "dovecot")
    tree.write(file, text.replace("/var/vmail", f"{server.folder}/mail"))
    return server


def _change(way: str, number: int) -> str:
    dn = tree.user_dn(_user(way, number))
    return f"dn: {dn}\nchangetype: modify\nreplace: iemsMailsort\n{_stored(number, ', new')}\n"


def _stored(number: int, more: str = "") -> str:
    own = tuple(replace(one, name=f"{one.name} of {number}{more}") for one in rules(_RULES))
    text = to_json(Mailsort(own, Vacation(f"User {number} is away.")))
    return f"iemsMailsort:: {base64.b64encode(text.encode()).decode()}"


def _user(way: str, number: int) -> str:
    return f"user{number:05}@{_domain(way)}"


def _domain(way: str) -> str:
    return f"{way}.test"
