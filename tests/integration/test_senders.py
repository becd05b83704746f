"""Lists of senders through the whole system: SPF by the zone, DKIM by a key, each user his own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, ENFORCED, MailSystem
from tests.integration.stack.smtp import Sent, send
from tests.signing import ed25519_key
from tests.waiting import eventually

CHECKS = """
[checks.spf]
mode = "delegate"
default = { fail = "deliver" }
[checks.dkim]
mode = "delegate"
"""
NAME = "mx.sender.example"


@dataclass
class World:
    """alice has a list, bob has none; both get mail of listed clients as their policy says.

    SPF of `friend` passes for the address `fresh.ip`, and for no other.
    """

    mailsystem: MailSystem
    fresh: Fresh
    friend: str
    alice: Mailbox
    bob: Mailbox

    def listed(self, *words: str) -> None:
        """An entry in a list, by the command."""
        self.mailsystem.iems("sender", *words)

    def send(self, sender: str, message: bytes, *to: Mailbox, client: str = "") -> Sent:
        """From the client that SPF knows, unless another one is said."""
        by = (client or self.fresh.ip, NAME)
        recipients = [one.user for one in to]
        return send(self.mailsystem.port(), sender, recipients, message, client=by)

    def message(self, author: str, number: int = 0) -> bytes:
        """A message with a Message-ID of its own."""
        return (
            f"Message-ID: <{number}.{self.fresh.domain}@sender.example>\r\nFrom: {author}\r\n"
            f"To: somebody@example.test\r\nSubject: s\r\n\r\ntext\r\n"
        ).encode()


@pytest.fixture(scope="module")
def checked(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """The system with the checks that prove senders."""
    with mailsystem.settings("senders", CHECKS):
        yield mailsystem


@pytest.fixture(params=["junk"])
def world(request: pytest.FixtureRequest, checked: MailSystem, fresh: Fresh) -> World:
    """The choice of both about the delegated list is the parameter."""
    checked.add_domain(fresh.domain)
    rule = f"dnsbl/delegated listed choice {request.param}"
    alice = checked.add_user(fresh.address("alice"), rule)
    bob = checked.add_user(fresh.address("bob"), rule)
    friend = f"friend-{fresh.domain.partition('.')[0]}.test"
    checked.resolver.add(f'{friend}. TXT "v=spf1 ip4:{fresh.ip} -all"')
    return World(checked, fresh, friend, alice, bob)


def other(fresh: Fresh) -> str:
    """An address of the same test that is not the friend's."""
    return fresh.ip.replace("198.18.", "198.19.")


def test_an_entry_delivers_for_its_owner_where_spf_proves_the_sender(world: World) -> None:
    system, joe = world.mailsystem, f"joe@{world.friend}"
    world.listed("allow", world.alice.user, world.friend)
    for client in (world.fresh.ip, other(world.fresh)):
        system.lists.list(DELEGATED, client)
    world.send(joe, world.message(joe, 1), world.alice, world.bob)
    assert world.alice.wait()
    assert world.bob.wait(folder="Junk")
    world.send(joe, world.message(joe, 2), world.alice, client=other(world.fresh))
    assert world.alice.wait(folder="Junk")
    system.postfix.wait_empty()
    assert len(world.alice.messages()) == 1
    word = f"<1.{world.fresh.domain}@sender.example>"
    system.why(word, 3)
    told = system.iems("why", word, "--recipient", world.alice.user).decode()
    assert (
        f"dnsbl/delegated listed: deliver, chosen by user {world.alice.user} "
        f"(allow {world.friend}, entry of user {world.alice.user})"
    ) in told


@pytest.mark.parametrize("world", ["reject"], indirect=True)
def test_who_is_proven_by_dkim_is_waited_for(world: World) -> None:
    system, joe = world.mailsystem, f"joe@{world.friend}"
    world.listed("allow", world.alice.user, joe)
    key = ed25519_key(domain=world.friend)
    system.resolver.add(f'{key.name}. TXT "{key.record}"')
    client = other(world.fresh)
    system.lists.list(DELEGATED, client)
    sent = world.send(joe, key.sign(world.message(joe)), world.alice, client=client)
    assert sent.accepted == (world.alice.user,), f"SPF fails, and DKIM passes: {sent}"
    assert world.alice.wait()
    unsigned = world.send(joe, world.message(joe), world.alice, client=client)
    assert unsigned.recipients[world.alice.user].code == 250
    assert unsigned.data is not None
    assert unsigned.data.code == 550
    without = world.send(joe, world.message(joe), world.bob, client=client)
    assert without.recipients[world.bob.user].code == 550


def test_no_entry_lets_in_whom_the_site_refuses(world: World) -> None:
    world.listed("allow", world.alice.user, world.friend, "--unverified")
    world.mailsystem.lists.list(ENFORCED, world.fresh.ip)
    joe = f"joe@{world.friend}"
    sent = world.send(joe, world.message(joe), world.alice)
    assert sent.recipients[world.alice.user].code == 550


def test_who_is_blocked_is_refused_by_envelope_and_by_header(world: World) -> None:
    system, joe = world.mailsystem, f"joe@{world.friend}"
    world.listed("block", world.fresh.domain, world.friend)
    by_envelope = world.send(joe, world.message("x@sender.example"), world.alice)
    refusal = by_envelope.recipients[world.alice.user]
    assert refusal.code == 550
    assert "does not take mail of this sender" in refusal.text
    by_header = world.send("x@sender.example", world.message(joe), world.alice, world.bob)
    assert by_header.data is not None
    assert by_header.data.code == 550
    reference = re.search(r"reference (\S+)", by_header.data.text)
    assert reference
    [row, *_rest] = [one for one in system.why(reference[1], 2) if one["recipient"]]
    assert json.dumps(row).count(f"block {world.friend}") == 1


def test_where_one_takes_it_the_other_has_it_in_junk(world: World) -> None:
    """And what lists decided is no difference for a replay."""
    system, joe = world.mailsystem, f"joe@{world.friend}"
    world.listed("block", world.alice.user, joe)
    sent = world.send(joe, world.message(joe), world.alice, world.bob)
    assert world.bob.user in sent.accepted
    assert world.bob.wait()
    both = world.send("x@sender.example", world.message(joe, 1), world.alice, world.bob)
    assert both.accepted == (world.alice.user, world.bob.user)
    assert world.alice.wait(folder="Junk")
    assert len(world.bob.wait(2)) == 2
    system.postfix.wait_empty()
    told: dict[str, object] = {}

    def replayed() -> bool:
        done = system.iems_ends("replay", "--json", "--since", "5m")
        told.update(json.loads(done.stdout))
        return int(str(told["verdicts"])) >= 4

    eventually(replayed, 15)
    differences = told["differences"]
    assert isinstance(differences, list)
    assert not [one for one in differences if world.fresh.domain in one["recipient"]]
