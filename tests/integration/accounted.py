"""One load, one fault: sent = delivered + refused for now, and nothing unchecked.

Eight clients send numbered messages to a real Postfix; in the middle something fails and comes
back. A client that is told 4xx tries again. At the end every message that was answered 250 is in
its mailbox once, no message was refused for good, and of each the milter's findings, one for every
check, reached the agent: none was let through unchecked.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TypeAlias

from tests.integration.conftest import Fresh
from tests.integration.numbered import (
    Load,
    Way,
    broken_deliveries,
    repeated,
    tokens,
)
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.waiting import eventually

MESSAGES, CLIENTS = 120, 8
CHECKS = {"iprev", "dnsbl/enforced", "dnsbl/delegated"}
Fault: TypeAlias = Callable[[MailSystem], AbstractContextManager[Collection[str]]]
"""Gives the queue ids of what may come twice although nobody logged why."""


def survives(system: MailSystem, fresh: Fresh, fault: Fault) -> None:
    """Send, let it fail, send on, and count."""
    system.add_domain(fresh.domain)
    system.lists.list(DELEGATED, fresh.ip)
    box = system.add_user(fresh.address("alice"), "dnsbl/delegated listed choice junk")
    clear, listed = (fresh.ip6, "mx.sender.example"), (fresh.ip, "mx.sender.example")
    ways = [Way(box.user, clear), Way(box.user, listed)]
    with Load(system.port(), lambda number: ways[number % 2], CLIENTS) as load:
        load.more(20)
        with fault(system) as under_way:
            pass
        load.more(max(20, MESSAGES - load.count), within=120)
        load.stop()
    system.postfix.flush()
    system.postfix.wait_empty(90)

    messages = [*box.headers(), *box.headers("Junk")]
    found = tokens(messages)
    sent, delivered = set(load.accepted.queue_ids), set(found)
    assert load.refused == []
    assert sent <= delivered, f"lost: {sent - delivered}"
    assert delivered - sent <= set(load.unanswered), "what was answered 4xx was delivered"
    twice = repeated(messages)
    unexplained = twice - set(broken_deliveries(system.postfix.log())) - set(under_way)
    assert not unexplained, [system.postfix.log(one) for one in unexplained]

    def unchecked() -> list[str]:
        checked = findings(system)
        return [one for one in load.accepted.queue_ids.values() if checked.get(one) != CHECKS]

    # A record that binds nobody is written a moment later.
    eventually(
        lambda: not unchecked(), 10, lambda: str([findings(system).get(one) for one in unchecked()])
    )
    assert not faulty(system, load.accepted.queue_ids.values())


def findings(system: MailSystem) -> dict[str, set[str]]:
    """Of each message in the milter's records, by queue id, the checks that found something out."""
    rows = _records(system.site.milter_state, "queue_id, details", "action = 'accept'")
    return {
        queue_id: {one["check"] for one in json.loads(details)["findings"]}
        for queue_id, details in rows
    }


def faulty(system: MailSystem, queue_ids: Iterable[str]) -> list[str]:
    """The deliveries of these messages that came without the milter's own findings."""
    wanted = set(queue_ids)
    rows = _records(system.site.agent_state, "queue_id, details", "stage = 'delivery'")
    return [
        queue_id
        for queue_id, details in rows
        if queue_id in wanted and json.loads(details).get("fault")
    ]


def _records(state: Path, columns: str, where: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(state / "records.sqlite")) as records:
        return list(records.execute(f"SELECT {columns} FROM record WHERE {where}"))  # noqa: S608 - constants
