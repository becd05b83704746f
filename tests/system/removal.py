"""`make uninstall` on a mail server, and what is looked for afterwards."""

from __future__ import annotations

import re

from tests.system import rules
from tests.system.mail import Account
from tests.system.provision import CLONE
from tests.system.server import DOMAIN, Server

COMPLAINT = re.compile(r" dovecot: .*\b(Error|Fatal|Panic): ")
MASTERS = {
    "imap": ("iems-bayes@localhost", "dovecot-master"),
    "sieve": ("iems-mailsort@localhost", "dovecot-sieve"),
}
"""Protocol -> who logs in there for users, and the file of his password."""


def is_taken_away(server: Server) -> None:
    """No command and no master user is left, and a move trains nobody; scripts of users run on."""
    machine = server.machine
    rules.with_a_rule(server, "una")
    logins = [
        (
            *("doveadm", "auth", "test", "-x", f"service={protocol}", "-x", "rip=127.0.0.1"),
            *(f"una@{DOMAIN}*{name}", machine.shell(f"cat /etc/iems/keys/{file}").strip()),
        )
        for protocol, (name, file) in MASTERS.items()
    ]
    assert [machine.run(*login, check=False).returncode == 0 for login in logins] == [True, True]
    machine.run("make", "uninstall", cwd=CLONE, log="uninstall.log", timeout=300)
    logged = len(server.maillog())
    assert [machine.run(*login, check=False).returncode == 0 for login in logins] == [False, False]
    assert machine.shell("find / -xdev -lname '/opt/iems/*'") == ""
    for command in ("iems", "iems-sieve"):
        for look in (["which", command], ["man", "-w", command]):
            assert machine.run(*look, check=False).returncode != 0, look
    rules.moves(server, "una")
    assert "$IEMS" not in _flags_in_junk(server.account("una"))
    assert [line for line in server.maillog()[logged:] if COMPLAINT.search(line)] == []


def _flags_in_junk(account: Account) -> str:
    """What is on a message from Trash after its user has moved it."""
    with account.imap() as session:
        session.select("Trash")
        assert session._simple_command("MOVE", "1", "Junk")[0] == "OK"
        session.select("Junk")
        return str(session.fetch("1", "(FLAGS)")[1])
