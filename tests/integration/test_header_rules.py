"""Rules about header fields of two domains and a list, through the whole system."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.slapd import BASE
from tests.integration.stack.smtp import Sent, send

SETTINGS = '[headers]\nallow = ["tag", "junk", "quarantine", "reject"]\n'


@dataclass
class World:
    """alice is in one domain, bob in the other; bob alone is the team of the first."""

    mailsystem: MailSystem
    fresh: Fresh
    alice: Mailbox
    bob: Mailbox
    team: str
    other: str
    number: int = 0

    def rule(self, owner: str, *words: str) -> None:
        """A rule, by the command."""
        self.mailsystem.iems("header", "set", owner, *words)

    def send(self, subject: str, *to: str) -> tuple[Sent, str]:
        """A message with this subject; its Message-ID with it."""
        self.number += 1
        name = f"<{self.number}.rules.{self.fresh.domain}@sender.example>"
        text = f"Message-ID: {name}\r\nSubject: {subject}\r\n\r\ntext\r\n".encode()
        by = (self.fresh.ip, "mx.sender.example")
        return send(self.mailsystem.port(), "a@sender.example", list(to), text, client=by), name

    def delivered(self, word: str, rows: int) -> dict[str, tuple[str, str]]:
        """Recipient -> what the agent did, and whose layer spoke last."""
        found = {}
        for row in self.mailsystem.why(word, rows + 1):
            if row["stage"] == "delivery":
                reasons = row["details"]["reasons"]  # type: ignore[index]
                found[str(row["recipient"])] = (str(row["action"]), reasons[-1]["layer"])
        return found


@pytest.fixture
def world(mailsystem: MailSystem, fresh: Fresh) -> Iterator[World]:
    other = f"other.{fresh.domain}"
    for name in (fresh.domain, other):
        mailsystem.add_domain(name)
    alice, bob = (mailsystem.add_user(one) for one in (fresh.address("alice"), f"bob@{other}"))
    team = mailsystem.add_alias(fresh.address("team"), bob.user)
    with mailsystem.settings("header-rules", SETTINGS):
        yield World(mailsystem, fresh, alice, bob, team, other)


def test_two_domains_and_a_list_each_by_its_own_rule(world: World) -> None:
    """One transaction for both; the list's rule holds for the copy that comes through it alone."""
    one = world.fresh.domain
    world.rule(one, "offer", "junk", "Subject", "contains", "special offer")
    world.rule(world.other, "offer", "tag", "Subject", "matches", r"^special\s+offer")
    world.rule(world.team, "long", "quarantine", "Subject", "matches", "today$")
    world.mailsystem.reload()
    subject = "=?utf-8?q?Special?= offer today"
    sent, name = world.send(subject, world.alice.user, world.bob.user)
    assert set(sent.accepted) == {world.alice.user, world.bob.user}
    (junk,) = world.alice.wait(folder="Junk")
    (tagged,) = world.bob.wait()
    assert b"\nX-IEMS-Verdict: tag;" in b"\n" + tagged
    assert world.delivered(name, 2) == {
        world.alice.user: ("junk", f"domain {one}"),
        world.bob.user: ("tag", f"domain {world.other}"),
    }
    assert world.other.encode() not in junk
    said = world.mailsystem.iems("why", name, "--recipient", world.alice.user).decode()
    assert f"header/{one}/offer matched: junk, chosen by domain {one}" in said

    sent, name = world.send(subject, world.team)
    assert sent.accepted == (world.team,)
    assert world.delivered(name, 1) == {
        world.bob.user: ("quarantine", f"list {world.team}"),
    }
    listed = world.mailsystem.iems("quarantine", "list", "--recipient", world.bob.user, "--json")
    [kept] = json.loads(listed)
    world.mailsystem.iems("quarantine", "release", "--as", world.bob.user, kept["id"])
    assert any(name.encode() in text for text in world.bob.wait(2)), "a user passes a list's rule"
    replayed = world.mailsystem.iems_ends("replay", "--json", "--since", "5m")
    differences = json.loads(replayed.stdout)["differences"]
    assert [one for one in differences if one["recipient"].endswith(world.fresh.domain)] == []


def test_what_all_rules_reject_is_refused_and_a_user_chooses_about_his_domain_s(
    world: World,
) -> None:
    """What in a domain's entry is no rule, or too much of one, counts as none."""
    one, check = world.fresh.domain, f"header/{world.fresh.domain}/offer"
    bad = ("nonsense", "a reject Subject matches (", r"b reject Subject matches .{900}\PL{900}")
    values = "".join(f"iemsHeader: {value}\n" for value in bad)
    entry = f"dn: iemsDomainName={one},ou=domains,{BASE}\nchangetype: modify\n"
    world.mailsystem.slapd.modify(f"{entry}add: iemsHeader\n{values}")
    world.rule(one, "offer", "reject", "Subject", "contains", "offer")
    world.rule(world.other, "offer", "reject", "Subject", "contains", "offer")
    world.mailsystem.reload()
    sent, _name = world.send("an offer", world.alice.user, world.bob.user)
    refusal = sent.each[world.alice.user]
    assert (refusal.code, "rule offer of" in refusal.text) == (550, True)
    sent, _name = world.send("plain", world.alice.user, world.bob.user)
    assert set(sent.accepted) == {world.alice.user, world.bob.user}
    (_plain,) = world.alice.wait()
    world.bob.wait()
    # Whoever asks for all records would be told of these values.
    world.mailsystem.slapd.modify(f"{entry}delete: iemsHeader\n{values}")

    world.mailsystem.iems("policy", "set", world.alice.user, check, "deliver")
    world.mailsystem.reload()
    sent, name = world.send("an offer", world.alice.user, world.bob.user)
    assert set(sent.accepted) == {world.alice.user, world.bob.user}
    assert len(world.alice.wait(2)) == 2
    (_late,) = world.bob.wait(folder="Junk")
    assert world.delivered(name, 2) == {
        world.alice.user: ("deliver", f"user {world.alice.user}"),
        world.bob.user: ("junk", f"domain {world.other}"),
    }
