"""Very many recipients over time: nothing is kept of them, so the milter does not grow.

Four MTAs of the fake speak to the running milter; each connection has a client and five messages to
a hundred recipients each. `RECIPIENTS=1000000` in the environment makes them a million.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from iems.codec import findings
from iems.serve.status import resident
from tests.fakemta.filter import CONTINUE
from tests.fakemta.milter import MilterFilter
from tests.fakemta.script import End, Rcpt, parse
from tests.fakemta.session import Session, Step
from tests.integration.conftest import Fresh
from tests.integration.stack.daemons import KEY_ID, SECRET
from tests.integration.stack.mailsystem import DELEGATED, MailSystem

RECIPIENTS = int(os.environ.get("RECIPIENTS", "30000"))
WARM = max(15_000, RECIPIENTS // 5)
"""Recipients until caches and allocators are full."""

DIFFERENT = RECIPIENTS // 10
"""Addresses: in a million they are more than a cache keeps."""

MESSAGE, CONNECTION, MTAS, USERS = 100, 5, 4, 20
CLIENTS = WARM // (MESSAGE * CONNECTION)
_GROWTH = (2 << 20) + 8 * RECIPIENTS
"""Bytes by which all processes together may grow once they are warm. In a million it was 6.5 MB,
levelling off: pages of the records, of which SQLite keeps 2 MB for each worker."""


@pytest.mark.timeout(60 + RECIPIENTS // 100)
def test_very_many_recipients_leave_nothing_behind(mailsystem: MailSystem, fresh: Fresh) -> None:
    mailsystem.add_domain(fresh.domain)
    for number in range(USERS):
        choice = ("deliver", "junk", "quarantine")[number % 3]
        rule = f"dnsbl/delegated listed choice {choice}"
        mailsystem.add_user(fresh.address(f"u{number}"), rule)
    mailsystem.lists.list(DELEGATED, str(_client(0)))
    milter, each = mailsystem.milter, MESSAGE * CONNECTION
    workers = milter.workers()

    def connection(number: int) -> int:
        session = Session(lambda: MilterFilter(str(milter.socket)))
        return _checked(session.run(parse(_script(number, fresh.domain))))

    with ThreadPoolExecutor(MTAS) as mtas:
        passed = sum(mtas.map(connection, range(WARM // each)))
        before = sum(map(resident, workers))
        passed += sum(mtas.map(connection, range(WARM // each, RECIPIENTS // each)))
    assert passed == RECIPIENTS
    assert milter.workers() == workers, "a worker was replaced"
    grown = sum(map(resident, workers)) - before
    print(f"{before} bytes before, {grown} more after {RECIPIENTS - WARM} recipients")
    assert grown < _GROWTH, f"{grown} bytes more after {RECIPIENTS - WARM} recipients"


def _client(number: int) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address("198.19.0.0") + number % CLIENTS


def _script(number: int, domain: str) -> str:
    lines = [f"connect {_client(number)} mx.sender.example", "helo mx.sender.example"]
    for message in range(number * CONNECTION, (number + 1) * CONNECTION):
        first = message * MESSAGE
        lines.append(f"mail <a{message}@sender.example>")
        lines += [
            f"rcpt <u{one % USERS}+{one % DIFFERENT}@{domain}>"
            for one in range(first, first + MESSAGE)
        ]
        lines += ["data", "header Subject: many", "eoh", "body text", "end"]
    return "\n".join([*lines, "quit"])


def _checked(steps: Iterable[Step]) -> int:
    """How many recipients were let in; each message has its findings."""
    recipients = 0
    for step in steps:
        if isinstance(step.line.command, Rcpt):
            assert step.answer == CONTINUE, step
            recipients += 1
        if isinstance(step.line.command, End):
            assert step.message is not None, step
            named = [one for one in step.message.header if one.name.strip() == findings.NAME]
            assert len(findings.decode(named[0].value, {KEY_ID: SECRET}.get).findings) == 3
    return recipients
