"""Nothing that was answered 250 is lost when processes die: `kill -9` in DATA and at random points.

Under a load of 2,000 numbered messages workers and supervisors of both daemons and Dovecot's LMTP
server are killed 20 times; what nobody else starts again the test does. A victim is stopped first,
so that it is known which messages are under way when it dies: only those may come twice. A message
whose sender was told to come back later is nowhere.
"""

from __future__ import annotations

import random
import signal
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.integration.conftest import Fresh
from tests.integration.numbered import SENDER, Load, Way, broken_deliveries, tokens
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.process import kill
from tests.integration.stack.smtp import Client, send
from tests.waiting import eventually

SEED = 5321
MESSAGES = 2000
CLIENTS = 10
KILLS = {
    "milter worker": 4,
    "milter supervisor": 3,
    "agent worker": 4,
    "agent supervisor": 3,
    "whole agent": 2,
    "dovecot lmtp": 4,
}
_NAME = "mx.sender.example"
_WITHIN = 100.0
"""Seconds until so many messages are accepted as a kill waits for."""


@pytest.fixture
def box(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user of the test's own."""
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("alice"))


def test_a_worker_killed_in_data_costs_a_delay(mailsystem: MailSystem, box: Mailbox) -> None:
    with Client(mailsystem.port()) as smtp:
        smtp.command(f"MAIL FROM:<{SENDER}>")
        assert smtp.command(f"RCPT TO:<{box.user}>").code == 250
        assert smtp.command("DATA").code == 354
        smtp.raw(b"Subject: cut\r\n\r\nfirst half\r\n")
        for pid in mailsystem.milter.workers():
            kill(pid)
        smtp.raw(b"second half\r\n.\r\n")
        assert smtp.reply().code == 451
    whole = b"Subject: x\r\n\r\n"
    eventually(lambda: send(mailsystem.port(), SENDER, [box.user], whole).accepted, 30)
    assert len(box.wait()) == 1
    mailsystem.postfix.wait_empty()


@dataclass(frozen=True)
class Killed:
    """One kill, the queue ids of what was under way then, and how much Postfix had deferred."""

    whom: str
    under_way: frozenset[str]
    deferrals: int


class Killer:
    """Kills what it is told to, and sees to it that it is there again."""

    def __init__(self, system: MailSystem, chance: random.Random) -> None:
        self._system = system
        self._chance = chance

    def kill(self, whom: str) -> Killed:
        """`whom` is one of KILLS."""
        daemon = self._system.milter if whom.startswith("milter") else self._system.agent
        before = len(broken_deliveries(self._system.postfix.log()))
        match whom.split()[-1]:
            case "worker":
                under_way = self._die(self._one(daemon.workers))
            case "lmtp":
                under_way = self._die(self._one(lambda: self._system.dovecot.processes("lmtp")))
            case "supervisor":
                under_way = self._die((daemon.server.pid,), daemon.workers())
                self._again(daemon)
            case _:
                under_way = self._die(daemon.server.members())
                self._again(daemon)
        return Killed(whom, under_way, before)

    def _again(self, daemon: Daemon) -> None:
        eventually(lambda: not daemon.server.running)
        daemon.server.gone()
        daemon.start()

    def _one(self, find: Callable[[], Iterable[int]]) -> tuple[int, ...]:
        return (self._chance.choice(sorted(eventually(lambda: tuple(find()), 30))),)

    def _die(self, victims: Iterable[int], others: Iterable[int] = ()) -> frozenset[str]:
        """Kill the victims; the others hang until then, and go on to notice it."""
        stopped = (*victims, *others)
        for pid in stopped:
            kill(pid, signal.SIGSTOP)
        before = self._queued("active")
        for pid in victims:
            kill(pid)
        for pid in others:
            kill(pid, signal.SIGCONT)
        return before | self._queued("active", "deferred")

    def _queued(self, *queues: str) -> frozenset[str]:
        entries = self._system.postfix.entries()
        return frozenset(one.queue_id for one in entries if one.queue in queues)


def cut(system: MailSystem, killed: Iterable[Killed]) -> set[str]:
    """What was under way at a kill that Postfix noticed, so that it tried it again."""
    log = broken_deliveries(system.postfix.log())
    return {queue_id for one in killed for queue_id in one.under_way & set(log[one.deferrals :])}


@pytest.mark.timeout(300)
def test_two_thousand_messages_and_twenty_kills(mailsystem: MailSystem, fresh: Fresh) -> None:
    system, chance = mailsystem, random.Random(SEED)
    boxes, ways = _users(system, fresh)
    order = [whom for whom, times in KILLS.items() for _time in range(times)]
    chance.shuffle(order)
    moments = sorted(chance.sample(range(20, MESSAGES - 20), len(order)))
    killer, killed, outside = Killer(system, chance), [], len(system.sent_out())
    with Load(system.port(), lambda number: ways[number % len(ways)], CLIENTS, MESSAGES) as load:
        for moment, whom in zip(moments, order, strict=True):
            eventually(lambda due=moment: load.count >= due or load.refused, _WITHIN)  # type: ignore[misc]
            killed.append(killer.kill(whom))
    assert (load.refused, load.errors) == ([], [])
    assert load.count == MESSAGES
    system.postfix.flush()
    system.postfix.wait_empty(60)

    held = tokens(message for box in boxes for message in system.quarantined_for(box.user))
    found = held + tokens(message for box in boxes for message in everything(box))
    assert set(found) == set(load.accepted.queue_ids)
    assert len(held) > MESSAGES // 4
    recorded = quarantine_records(system)
    assert {load.accepted.queue_ids[one] for one in held if found[one] == 1} <= recorded
    twice = {load.accepted.queue_ids[token] for token, count in found.items() if count > 1}
    assert twice <= cut(system, (one for one in killed if not one.whom.startswith("milter")))
    assert len(system.sent_out()) == outside


def everything(box: Mailbox) -> list[bytes]:
    """The header of every message of a user."""
    return [*box.headers(), *box.headers("Junk")]


def quarantine_records(system: MailSystem) -> set[str]:
    """The queue ids of which it is recorded that they are in quarantine."""
    wanted = "SELECT queue_id FROM record WHERE action = 'quarantine' AND reply LIKE '250%'"
    with closing(sqlite3.connect(system.site.agent_state / "records.sqlite")) as records:
        return {row[0] for row in records.execute(wanted)}


def _users(system: MailSystem, fresh: Fresh) -> tuple[list[Mailbox], list[Way]]:
    """Four users, and the way to each: from a clear client, or from a listed one."""
    system.add_domain(fresh.domain)
    system.lists.list(DELEGATED, fresh.ip)
    choices = {"inbox": "deliver", "junk": "junk", "held": "quarantine", "kept": "quarantine"}
    boxes = [
        system.add_user(fresh.address(name), f"dnsbl/delegated listed choice {choice}")
        for name, choice in choices.items()
    ]
    clear, listed = (fresh.ip6, _NAME), (fresh.ip, _NAME)
    return boxes, [Way(box.user, listed if box is not boxes[0] else clear) for box in boxes]
