"""How often slapd is asked about the recipients of a message: counted in its own log.

slapd writes an operation down before it answers it, so what was asked is there when the reply is.
Only questions about the test's own domain count, not those about the health of the directory.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import LmtpClient, Sent, send

SENDER = "a@sender.example"
MESSAGE = b"Subject: to many\r\n\r\ntext\r\n"
AGENT, MILTER = tree.service_dn("agent"), tree.service_dn("milter")

Users = Callable[[int], list[str]]


@pytest.fixture
def users(mailsystem: MailSystem, fresh: Fresh) -> Users:
    """Makes so many users whom nobody has asked for yet."""
    mailsystem.add_domain(fresh.domain)
    made: list[str] = []

    def make(count: int) -> list[str]:
        new = [fresh.address(f"n{len(made) + number}") for number in range(count)]
        mailsystem.slapd.add("".join(tree.user(one) for one in new))
        made.extend(new)
        return new

    return make


@pytest.mark.parametrize("count", [1, 10, 200])
def test_the_agent_searches_once_for_all_recipients_of_a_transaction(
    mailsystem: MailSystem, users: Users, fresh: Fresh, count: int
) -> None:
    """And once for their domains."""
    recipients = users(count)
    with LmtpClient(mailsystem.site.agent_socket) as lmtp:
        sent: Sent = lmtp.send(SENDER, recipients, MESSAGE)
    assert len(sent.accepted) == count
    assert mailsystem.slapd.searches(fresh.domain)[AGENT] == 2


def test_the_milter_searches_once_for_a_recipient_and_not_again(
    mailsystem: MailSystem, users: Users, fresh: Fresh
) -> None:
    """Each of its two workers for itself."""
    recipients = users(20)
    for _message in range(4):
        sent = send(mailsystem.port(), SENDER, recipients, MESSAGE, client=(fresh.ip, "mx.test"))
        assert len(sent.accepted) == len(recipients)
    asked = mailsystem.slapd.searches(fresh.domain)[MILTER]
    assert asked in {len(recipients), 2 * len(recipients)}
    mailsystem.postfix.wait_empty()
