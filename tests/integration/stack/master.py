"""Dovecot's master user as it is deployed, for a private Dovecot."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from lmtp.learning.mailbox import Master
from tests.integration.stack import deployed
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import owned

NAME, SECRET = "iems-bayes@localhost", "secret of the master"


def settings(file: Path) -> str:
    """What Dovecot is told of him; `file` is where he stands."""
    text = deployed.text("dovecot/dovecot.conf")
    found = re.search(r"^auth_master_user_separator.*?^}\n", text, re.MULTILINE | re.DOTALL)
    assert found, text
    return found[0].replace("/etc/dovecot/master-users", str(file))


def write(file: Path, nets: str = "127.0.0.0/8,::1") -> None:
    """His line, as the template makes it; he may come from these networks."""
    text = deployed.text("dovecot/master-users")
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    deployed_digest = hashlib.sha256(b"SECRET").hexdigest()
    assert text.startswith(NAME)
    assert deployed_digest in text
    assert text.strip().endswith("allow_nets=127.0.0.0/8,::1")
    line = text.replace(deployed_digest, digest).replace("127.0.0.0/8,::1", nets)
    file.touch()
    owned(file, "root", "dovecot", 0o640).write_text(line)


def master(dovecot: Dovecot) -> Master:
    """Him, as the daemon logs in."""
    return Master("127.0.0.1", dovecot.imap, NAME, SECRET)
