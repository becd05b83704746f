"""A Dovecot from which the suite was taken: what `ansible/uninstall.yml` adds and removes."""

from __future__ import annotations

import imaplib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iems.model.address import Address
from iems.serve.deadline import Deadline
from lmtp.learning.mailbox import MailboxError, opened
from tests.conftest import ROOT
from tests.integration.stack import master, training
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.imap import PASSWORD, TIMEOUT

USER = Address("alice", "uninstall.test")
JUNK = "Unwanted"
AS_MASTER = f"{USER}\0{master.NAME}\0{master.SECRET}".encode()
"""As SASL has it for who logs in for another (RFC 4616)."""

TEXT = b"Subject: offer\r\nMessage-ID: <1@x.test>\r\n\r\nbuy\r\n"


@dataclass
class Place:
    """A Dovecot as it is deployed, and what tells it that there is no suite."""

    dovecot: Dovecot
    local: Path
    masters: Path


def without() -> str:
    """What stands in local.conf then."""
    play = (ROOT / "ansible/uninstall.yml").read_text()
    [block] = re.findall(r"\n        block: \|\n(.*?)\n        validate:", play, re.DOTALL)
    # Its other part is for a Postfix that is not here.
    return re.sub(r"service lmtp \{.*?\n\}\n", "", textwrap.dedent(block), flags=re.DOTALL)


@pytest.fixture
def place(ground: Ground) -> Iterator[Place]:
    """One that asks a daemon which does not run."""
    folder = ground.place("uninstalled")
    local, masters = folder / "local.conf", folder / "master-users"
    local.write_text("")
    master.write(masters)
    more = f"{master.settings(masters)}!include_try {local}\n"
    server = training.dovecot(ground, ground.place("trains") / "iems-bayes", more)
    server.add_user(str(USER))
    with running(server):
        yield Place(server, local, masters)


def moved(dovecot: Dovecot) -> str:
    """The flags of a message that its user has moved into Junk."""
    with dovecot.mailbox(str(USER))._login() as imap:
        imap.append("INBOX", "", "", TEXT)
        imap.select("INBOX")
        assert imap._simple_command("MOVE", "1", JUNK)[0] == "OK"
        imap.select(JUNK)
        return str(imap.fetch("*", "(FLAGS)")[1])


def test_nobody_is_told_what_users_do_and_nobody_logs_in_for_them(place: Place) -> None:
    who = master.master(place.dovecot)
    with opened(who, USER, Deadline.after(60)):
        pass
    assert "$IEMSSpam" in moved(place.dovecot)
    place.dovecot.stop()
    place.local.write_text(f"mail_access_groups = iems-no-group\n{without()}")
    script = training.script(place.dovecot)
    place.masters.write_text("")
    for file in (script, script.with_suffix(".svbin")):
        file.unlink()
    told = len(place.dovecot.log())
    place.dovecot.start()
    assert "$IEMS" not in moved(place.dovecot)
    with pytest.raises(MailboxError), opened(who, USER, Deadline.after(60)):
        pass
    with imaplib.IMAP4("127.0.0.1", place.dovecot.imap, timeout=TIMEOUT) as imap:
        with pytest.raises(imaplib.IMAP4.error):
            imap.authenticate("PLAIN", lambda _challenge: AS_MASTER)
        imap.login(str(USER), PASSWORD)
    log = place.dovecot.log()[told:]
    assert not re.search("(Error|Fatal|Panic): ", log), log
