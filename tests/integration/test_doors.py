"""The open-relay and login matrix against the deployed configuration, from a client outside."""

from __future__ import annotations

import pytest

from tests.doors import CLOSED, FOREIGN, OWN, STRANGERS, UNKNOWN, USERS, Door, Target, expected
from tests.integration.stack.mailsystem import MailSystem

DOMAIN = "doors.box.test"
CLIENT = "198.18.251.1"


@pytest.fixture(scope="module")
def target(mailsystem: MailSystem) -> Target:
    """The system with the people of the table."""
    mailsystem.add_domain(DOMAIN)
    for name in ("alice", "bob"):
        mailsystem.add_user(f"{name}@{DOMAIN}")
    mailsystem.add_alias(f"both@{DOMAIN}", f"alice@{DOMAIN}", f"bob@{DOMAIN}")
    mailsystem.add_alias(f"team@{DOMAIN}", f"bob@{DOMAIN}")
    ports = {
        25: mailsystem.port(),
        587: mailsystem.port("submission"),
        465: mailsystem.port("submissions"),
    }
    words = ("--xclient-addr", CLIENT, "--xclient-optional")
    return Target("127.0.0.1", DOMAIN, mailsystem.password(f"alice@{DOMAIN}"), ports, words)


@pytest.mark.parametrize("sender", [*OWN, *FOREIGN])
@pytest.mark.parametrize("door", [*STRANGERS, *USERS], ids=str)
def test_each_recipient_has_the_answer_of_the_table(
    target: Target, door: Door, sender: str
) -> None:
    assert target.attempt(door, sender) == expected(door, sender)


@pytest.mark.parametrize("sender", ["alice@DOMAIN", "someone@OUTSIDE", ""])
@pytest.mark.parametrize("door", UNKNOWN, ids=str)
def test_nobody_sends_without_a_login(target: Target, door: Door, sender: str) -> None:
    assert target.attempt(door, sender) == expected(door, sender)


@pytest.mark.parametrize("door", CLOSED, ids=str)
def test_nobody_gets_past_a_closed_door(target: Target, door: Door) -> None:
    assert target.attempt(door, "alice@DOMAIN") == CLOSED[door]


def test_a_local_client_is_a_stranger_as_well(target: Target) -> None:
    local = Target(target.host, target.domain, target.password, target.ports)
    door, sender = Door(25, tls=False), "someone@OUTSIDE"
    assert local.attempt(door, sender) == expected(door, sender)
