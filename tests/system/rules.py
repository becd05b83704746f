"""What rules of users need on a mail server: taken away as before a release that knows them, found.

Schema, rights, Dovecot's configuration, the secrets; and one rule that is carried out.
"""

from __future__ import annotations

import re

from tests.system.machine import Machine
from tests.system.provision import CLONE
from tests.system.server import DOMAIN, Server
from tests.system.world import CLEAN

RULE = '[[rule]]\nname = "All"\nif.size.over = 1\nthen = { move = "Trash" }\n'
SCHEMA = "/etc/iems/openldap/iems-schema.ldif"
STAGED = "/var/lib/iems/staged/openldap/iems-schema.ldif"
"""Which config.ldif includes."""

SECRETS = "/etc/iems/keys/dovecot-sieve /etc/dovecot/sieve-master-users"
SWAP = f"""\
{CLONE}/scripts/slapd-config /etc/iems/openldap/config.ldif /etc/ldap/slapd.d.new
service slapd stop
rm -r /etc/ldap/slapd.d /etc/iems/openldap/applied
mv /etc/ldap/slapd.d.new /etc/ldap/slapd.d
service slapd start
"""


def with_a_rule(server: Server, local: str) -> None:
    """Make a user all of whose mail goes into Trash."""
    server.add_user(local)
    told = server.iems("mailsort", "set", f"{local}@{DOMAIN}", "-", stdin=RULE)
    assert told == f"installed rules of {local}@{DOMAIN}\n"


def moves(server: Server, local: str) -> None:
    """His rule is done."""
    word = server.deliver(CLEAN, [local])
    assert server.account(local).wait_for(word, folders=("INBOX", "Trash"))[0] == "Trash"


def are_known(machine: Machine) -> None:
    """To the directory, to Dovecot, and in the secrets of both."""
    search = "ldapsearch -LLL -o ldif_wrap=no -Y EXTERNAL -QH ldapi:/// -s base -b cn=Subschema"
    told = machine.shell(f"{search} attributeTypes objectClasses")
    for name in ("", "Refuse", "RefuseText", "Facts"):
        assert f"NAME 'iemsMailsort{name}'" in told
        assert re.search(rf"NAME 'iemsUser' .*\$ iemsMailsort{name} ", told)
    places = machine.shell("doveconf -h plugin/sieve_before2 plugin/sieve_before4")
    assert places == (
        "file:/etc/dovecot/sieve/mailsort/before.sieve\nfile:~/sieve/iems-mailsort.sieve\n"
    )
    assert machine.shell(f"stat -c '%a %G' {SECRETS}") == "600 root\n640 dovecot\n"


def take_away(machine: Machine) -> None:
    """Leave the machine as a release did that knew no rules; slapd and Dovecot have taken it."""
    for file in (STAGED, SCHEMA):
        _cut(
            machine,
            file,
            (r"olcAttributeTypes: \( iemsAttribute:\d+ NAME 'iemsMailsort\w*'(\n  .*)+\n", ""),
            (r" \$\s+iemsMailsort\w*", ""),
        )
    rights = ((r",iemsMailsort\w+", ""), (r"attrs=iemsMailsort ", "attrs=iemsBayes "))
    _cut(machine, "/etc/iems/openldap/config.ldif", *rights)
    _cut(
        machine,
        "/etc/dovecot/dovecot.conf",
        (r"(?m)^protocol sieve \{\n(  .*\n)*\}\n", ""),
        (r"(?m)^  sieve_(before|after)\d* = file:.*mailsort.*\n", ""),
    )
    machine.shell(f"{SWAP}rm {SECRETS}; service dovecot reload")


def _cut(machine: Machine, file: str, *changes: tuple[str, str]) -> None:
    """Each pattern is in the file, and gives way to its text."""
    path = machine.path(file)
    text = path.read_text()
    for pattern, new in changes:
        text, count = re.subn(pattern, new, text)
        assert count, f"{file}: {pattern}"
    path.write_text(text)
