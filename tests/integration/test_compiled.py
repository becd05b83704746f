"""What compiled rules do at Dovecot's LMTP, where `sieve-test` cannot be told or shows nothing."""

from __future__ import annotations

import datetime
import imaplib
import smtplib

from sieve.compiling.compiler import compile_rules
from sieve.compiling.site import Site
from sieve.mailsort.rule import (
    AddressTest,
    Condition,
    Copy,
    Flag,
    Group,
    Mailsort,
    Move,
    Operator,
    Party,
    Quantity,
    Rule,
)
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE
from tests.integration.conftest import Fresh
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.imap import PASSWORD, Mailbox
from tests.mailsort.meaning import Facts, holds
from tests.mailsort.message import Message

MAIL = b"From: ann@shop.example\r\nTo: bob@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
NOW = datetime.datetime(2025, 3, 4, 10, 0, 30)  # noqa: DTZ001 - the server's own time zone


def _delivered(
    dovecot: Dovecot,
    fresh: Fresh,
    sender: str,
    *rules: Rule,
    site: Site = Site(),  # noqa: B008
) -> Mailbox:
    """The mailbox of a new user with these rules, once the message is in it."""
    address = fresh.address("bob")
    box = dovecot.add_user(address)
    compiled = compile_rules(Mailsort(rules), PIGEONHOLE, site)
    assert not compiled.remarks
    dovecot.script(address, to_text(compiled.script))
    with smtplib.LMTP("127.0.0.1", dovecot.lmtp_port, timeout=30) as lmtp:
        assert lmtp.sendmail(sender, [address], MAIL) == {}
    return box


def test_a_null_sender_is_tested_as_an_empty_address(dovecot: Dovecot, fresh: Fresh) -> None:
    tests = (
        AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.EXISTS),
        AddressTest(Party.ENVELOPE_FROM, Operator.CONTAINS, ("",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.CONTAINS, ("a",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.MATCHES, ("*",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.MATCHES, ("?*",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.REGEX, ("^$",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, ("example",)),
    )
    conditions: tuple[Condition, ...] = (
        *tests,
        *(Group(Quantity.NONE, (one,)) for one in tests),
    )
    rules = (Rule(str(at), one, (Copy(f"F{at}"),)) for at, one in enumerate(conditions))
    folders = _delivered(dovecot, fresh, "", *rules).folders()
    facts = Facts("", "bob@example.org", NOW)
    for at, one in enumerate(conditions):
        assert (f"F{at}" in folders) is holds(one, Message(MAIL), facts), one


def test_what_is_filed_twice_is_there_once_with_the_flags_of_the_first_time(
    dovecot: Dovecot, fresh: Fresh
) -> None:
    box = _delivered(
        dovecot,
        fresh,
        "ann@shop.example",
        Rule("1", None, (Copy("Work/Shop"), Copy("INBOX"))),
        Rule("2", None, (Flag(("\\Flagged",)), Copy("Work/Shop"))),
        Rule("3", None, (Move("Done"),)),
        site=Site(separator="."),
    )
    assert len(box.wait(1, "Done")) == len(box.messages("Work.Shop")) == len(box.messages()) == 1
    assert {name: _flagged(box, name) for name in ("INBOX", "Work.Shop", "Done")} == {
        "INBOX": False,
        "Work.Shop": False,
        "Done": True,
    }


def _flagged(box: Mailbox, folder: str) -> bool:
    """Whether the only message of a folder is."""
    with imaplib.IMAP4("127.0.0.1", box.port, timeout=30) as imap:
        imap.login(box.user, PASSWORD)
        imap.select(folder, readonly=True)
        _status, found = imap.search(None, "FLAGGED")
        return found == [b"1"]
