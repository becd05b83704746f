"""Source channels by network, and the policy of mail that leaves this host, on the whole system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import Sent, send

FAR = "someone@elsewhere.example"
PARTNER = "203.0.113.77"
SETTINGS = """
[checks.dnsbl.delegated]
channels = ["internet", "partner"]

[channels.partner]
networks = ["203.0.113.0/24"]

[channels.partner.policy."dnsbl/delegated"]
default = { listed = "reject" }

[destinations.internet.policy."dnsbl/delegated"]
default = { listed = "reject" }
"""


@pytest.fixture(scope="module")
def system(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """The system with a partner's network, and a policy for what is forwarded."""
    with mailsystem.settings("channels", SETTINGS):
        yield mailsystem


def mail(system: MailSystem, fresh: Fresh, client: str, *recipients: str) -> Sent:
    """A message of a client that the delegated list has."""
    system.lists.list(DELEGATED, client)
    text = f"Message-ID: <{fresh.domain}@sender.example>\r\nSubject: hello\r\n\r\ntext\r\n"
    where = (client, "mx.sender.example")
    return send(system.port(), "a@sender.example", recipients, text.encode(), client=where)


def test_nothing_is_wrong_with_them(system: MailSystem) -> None:
    assert b"nothing is wrong" in system.iems("check", "--strict")


def test_the_channel_of_a_network_decides(system: MailSystem, fresh: Fresh) -> None:
    """The same user, the same list: from elsewhere the message is delivered."""
    system.add_domain(fresh.domain)
    box = system.add_user(fresh.address("alice"))
    refused = mail(system, fresh, PARTNER, box.user).recipients[box.user]
    assert refused.code == 550
    reference = refused.text.rpartition("reference ")[2].split()[0]
    told = system.iems("why", reference).decode()
    assert "dnsbl/delegated listed: reject, chosen by channel partner" in told
    assert mail(system, fresh, fresh.ip, box.user).accepted == (box.user,)
    assert box.wait()
    system.postfix.wait_empty()


def test_what_is_forwarded_is_refused_by_its_own_policy(system: MailSystem, fresh: Fresh) -> None:
    """A mailbox takes the same message, and so does who keeps a copy."""
    system.add_domain(fresh.domain)
    boxes = [system.add_user(fresh.address(name)) for name in ("alice", "bob", "carol")]
    alice, bob, carol = (box.user for box in boxes)
    system.iems("user", "set", alice, "--forward", FAR)
    system.iems("user", "set", carol, "--forward", FAR, "--keep")
    sent = mail(system, fresh, fresh.ip, alice, bob, carol)
    assert sent.accepted == (bob, carol)
    refused = sent.recipients[alice]
    assert refused.code == 550
    reference = refused.text.rpartition("reference ")[2].split()[0]
    told = system.iems("why", reference, "--recipient", alice).decode()
    assert "dnsbl/delegated listed: reject, chosen by connector internet" in told
    for box in boxes[1:]:
        assert box.wait()
    system.postfix.wait_empty()
    assert not boxes[0].messages()
