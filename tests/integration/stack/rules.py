"""The order of scripts, and who installs them, as they are deployed, for a private Dovecot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from iems.serve.deadline import Deadline
from sieve.installing.managesieve import Connection, Master, opened
from tests.integration.stack import deployed
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import owned
from tests.integration.stack.imap import Mailbox

SECRET = "secret of the master of scripts"
NAME = "iems-mailsort@localhost"
_TURNS = re.compile(r"^  sieve_(?:before|after)\d* = .*$", re.MULTILINE)
_MASTER = re.compile(r"^protocol sieve \{.*?^}\n", re.MULTILINE | re.DOTALL)
_PROCESSES = re.compile(r"^service managesieve.*?^}\n", re.MULTILINE | re.DOTALL)


def deploy(server: Dovecot, junk: str = "before") -> None:
    """Have a server that is not running go by them; its folder takes the place of /etc/dovecot."""
    values = {} if junk == "before" else {"dovecot_junk": junk}
    text = deployed.text("dovecot/dovecot.conf", **values)
    turns = "\n".join(_TURNS.findall(text))
    master = _MASTER.search(text)
    assert master, text
    services = "".join(_PROCESSES.findall(text)).replace("port = 4190", f"port = {server.sieve}")
    own = f"{master[0]}{services}plugin {{\n{turns}\n}}\n".replace(
        "/etc/dovecot", str(server.folder)
    )
    with server.config.open("a") as file:
        file.write(own)
    line = deployed.text("dovecot/sieve-master-users")
    digest = hashlib.sha256(b"SECRET").hexdigest()
    assert digest in line
    users = server.folder / "sieve-master-users"
    users.write_text(line.replace(digest, hashlib.sha256(SECRET.encode()).hexdigest()))
    owned(users, "root", "dovecot", 0o640)


def master(server: Dovecot) -> Master:
    """Who installs scripts there."""
    return Master("127.0.0.1", server.sieve, NAME, SECRET)


@contextmanager
def his_own(server: Dovecot, box: Mailbox, password: str) -> Iterator[Connection]:
    """The scripts of a user, as he edits them himself, by his own login."""
    own = Master("127.0.0.1", server.sieve, box.user, password)
    with opened(own, box.user, Deadline.after(30)) as scripts:
        yield scripts


def activate(scripts: Connection, name: str) -> None:
    """Make one the active script, which we never do."""
    scripts._wire.ask(b'SETACTIVE "%b"' % name.encode())
