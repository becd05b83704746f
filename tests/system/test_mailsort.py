"""Rules on the mail server as it was made: set by `iems`, met by mail from outside."""

from __future__ import annotations

import json

import pytest

from tests.system import mail
from tests.system.mail import Account, marker, message
from tests.system.server import DOMAIN, SENDER, Server
from tests.system.world import CLEAN, WORLD
from tests.waiting import eventually

USER = f"dora@{DOMAIN}"
UNWANTED = f"unwanted@{WORLD}"
MOVED = "moved-by-a-rule"
RULES = f"""\
[[rule]]
name = "Refused"
if.envelope-from.is = "{UNWANTED}"
then = {{ reject = "I do not want your mail." }}

[[rule]]
name = "Moved"
if.subject.contains = "{MOVED}"
then = {{ move = "Sorted/Here" }}
"""


@pytest.fixture(scope="module")
def dora(server: Server) -> Account:
    """A user with rules, which the daemons have taken over."""
    server.add_user("dora")
    told = server.iems("mailsort", "set", USER, "-", stdin=RULES)
    assert told == f"installed rules of {USER}\n"
    for daemon in ("iems-milter", "iems-lmtp"):  # or what they know of her is a minute old
        server.machine.run("systemctl", "reload", daemon)
    return server.account("dora")


def arrives(server: Server, subject: str) -> None:
    """A message to her from outside is accepted."""
    data = message(subject, sender=SENDER, to=USER)
    outcome = server.send(CLEAN, ["dora"], data)
    assert outcome.data is not None, outcome
    assert outcome.data.code == 250, outcome


def test_a_rule_moves(server: Server, dora: Account) -> None:
    """Into a folder that it makes; all else stays where it was."""
    moved, other = f"{MOVED}-{marker()}", marker()
    arrives(server, moved)
    arrives(server, other)
    assert dora.wait_for(other)[0] == "INBOX"
    eventually(lambda: "Sorted.Here" in dora.folders(), mail.ARRIVAL, "the folder of the rule")
    dora.wait_for(moved, folders=("Sorted.Here",))
    assert dora.find(moved) == []


def test_a_rule_refuses_at_rcpt(server: Server, dora: Account) -> None:
    """Who is unwanted gets 550, and nobody else does."""
    source = server.world.client(CLEAN)

    def answer(sender: str) -> tuple[int, str]:
        with mail.connect(server.host, source=source) as session:
            session.mail(sender)
            code, text = session.rcpt(dora.address)
            return code, text.decode()

    eventually(lambda: answer(UNWANTED)[0] == 550, 30, lambda: str(answer(UNWANTED)))
    assert "I do not want your mail." in answer(UNWANTED)[1]
    assert answer(SENDER)[0] == 250


def test_a_vacation_answers_once(server: Server, dora: Account) -> None:
    """Who writes twice gets one answer."""
    text = marker()
    told = server.iems("vacation", "on", USER, "--subject", "Away", "--text", text)
    assert told == f"installed rules of {USER}\n"
    words = marker(), marker()
    for word in words:
        arrives(server, word)
    for word in words:
        dora.wait_for(word)
    server.world.sink.wait_for(text)
    server.wait_for_empty_queue()
    [reply] = [one for one in server.world.sink.received if text.encode() in one.data]
    assert (reply.sender, reply.recipients) == ("", (SENDER,))
    assert b"Auto-Submitted: auto-replied" in reply.data
    server.iems("vacation", "off", USER)


def test_status_shows_the_order(server: Server, dora: Account) -> None:
    """As the playbook has configured Dovecot: junk, her rules, and no script of her own."""
    told = json.loads(server.iems("mailsort", "status", "--json", dora.address))
    assert told["rules"] == "installed"
    assert told["refused"] == [UNWANTED]
    kinds = [(one["kind"], one["runs"]) for one in told["order"]]
    assert kinds == [
        ("shared", True),
        *[("shared", False)] * 2,
        ("ours", True),
        ("own", False),
        *[("shared", False)] * 2,
    ]


def test_the_master_of_scripts_has_a_password_that_root_alone_reads(server: Server) -> None:
    told = server.machine.shell("stat -c '%a %U %G %s' /etc/iems/keys/dovecot-sieve").split()
    assert told[:3] == ["600", "root", "root"]
    assert int(told[3]) >= 40
