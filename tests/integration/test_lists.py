"""A mailing list with a policy of its own, through the whole system."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import Sent, send
from tests.waiting import eventually

NAME = "mx.sender.example"
CHECK = "dnsbl/delegated"


@dataclass
class World:
    """alice and bob take all mail of a listed client; they are the team."""

    mailsystem: MailSystem
    fresh: Fresh
    alice: Mailbox
    bob: Mailbox
    team: str
    number: int = 0

    def choose(self, action: str) -> None:
        """What the team says, by the command; both daemons know it then."""
        self.mailsystem.iems("policy", "set", self.team, CHECK, action)
        self.mailsystem.reload()

    def send(self, *to: str) -> tuple[Sent, str]:
        """From the listed client; the Message-ID with it."""
        self.number += 1
        name = f"<{self.number}.lists.{self.fresh.domain}@sender.example>"
        text = f"Message-ID: {name}\r\nSubject: s\r\n\r\ntext\r\n".encode()
        by = (self.fresh.ip, NAME)
        return send(self.mailsystem.port(), "a@sender.example", list(to), text, client=by), name


@pytest.fixture
def world(mailsystem: MailSystem, fresh: Fresh) -> World:
    mailsystem.add_domain(fresh.domain)
    alice, bob = (
        mailsystem.add_user(fresh.address(name), f"{CHECK} listed choice deliver")
        for name in ("alice", "bob")
    )
    mailsystem.lists.list(DELEGATED, fresh.ip)
    team = mailsystem.add_alias(fresh.address("team"), alice.user, bob.user)
    return World(mailsystem, fresh, alice, bob, team)


def test_what_a_list_rejects_is_refused_for_the_list_alone(world: World) -> None:
    """A true 550 at RCPT, though its members take such mail; and `iems why` names the list."""
    world.choose("reject")
    sent, _name = world.send(world.team, world.bob.user)
    assert (sent.recipients[world.team].code, sent.recipients[world.bob.user].code) == (550, 250)
    (_text,) = world.bob.wait()
    assert world.alice.messages() == []
    reference = sent.recipients[world.team].text.rpartition("reference ")[2].split()[0]
    rows = world.mailsystem.why(reference, 4)
    refused = [row for row in rows if row["stage"] == "rcpt"]
    assert {row["recipient"] for row in refused} == {world.team}
    said = world.mailsystem.iems("why", reference, "--recipient", world.team).decode()
    assert f"{CHECK} listed: reject, chosen by list {world.team}" in said
    shown = json.loads(world.mailsystem.iems("policy", "show", world.team, "--json"))
    [row] = [one for one in shown["checks"] if (one["check"], one["band"]) == (CHECK, "listed")]
    assert (row["action"], row["decided_by"]) == ("reject", f"list {world.team}")


def test_what_a_list_chose_its_copies_get_and_no_others(world: World) -> None:
    """The agent knows by ORCPT through which list a copy came; a replay knows it, too."""
    world.choose("junk")
    sent, name = world.send(world.team, world.bob.user)
    assert {reply.code for reply in sent.recipients.values()} == {250}
    (copy,) = world.alice.wait(folder="Junk")
    assert b"X-Original-To: " + world.team.encode() in copy
    (_text,) = world.bob.wait()  # he is written to himself as well, and gets it once
    world.mailsystem.postfix.wait_empty()
    assert world.bob.messages("Junk") == []
    rows = world.mailsystem.why(name, 3)
    delivered = [row for row in rows if row["stage"] == "delivery"]
    assert sorted((row["recipient"], row["action"]) for row in delivered) == [
        (world.alice.user, "junk"),
        (world.bob.user, "deliver"),
    ]

    def differences(*words: str) -> list[tuple[str, str, str]]:
        done = world.mailsystem.iems_ends("replay", "--json", "--since", "5m", *words)
        found = json.loads(done.stdout)["differences"]
        mine = [one for one in found if one["recipient"].endswith(f"@{world.fresh.domain}")]
        return sorted((one["recipient"], one["was"], one["now"]) for one in mine)

    assert differences() == []
    assert differences("--set", world.team, CHECK, "tag") == [(world.alice.user, "junk", "tag")]


def test_a_list_of_senders_speaks_for_its_list(world: World) -> None:
    world.mailsystem.iems("sender", "block", world.team, "a@sender.example")
    world.mailsystem.reload()
    sent, _name = world.send(world.team, world.alice.user)
    assert (sent.recipients[world.team].code, sent.recipients[world.alice.user].code) == (550, 250)
    (_text,) = world.alice.wait()
    eventually(lambda: not world.mailsystem.postfix.entries(), 20)
