"""Both daemons take over new settings under load, and nobody is kept waiting.

What a daemon alone does at a reload is proven in `test_serve` and `test_adapter`; here both do it
at once, as their own users, between a real Postfix and a real Dovecot.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.conftest import Fresh
from tests.integration.numbered import Load, Way, tokens
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.mailsystem import MailSystem
from tests.waiting import eventually

CLIENTS = 20
RELOADS = 10
BETWEEN = 25
"""Messages between two reloads, at least: every client has sent one."""


def owners(daemon: Daemon) -> set[str]:
    """The users whose processes these are; one that has just drained is nobody's any more."""
    found = set()
    for pid in daemon.server.members():
        with suppress(FileNotFoundError):
            found.add(Path(f"/proc/{pid}").owner())
    return found


def reload(*daemons: Daemon) -> None:
    """Tell all of them to reload, and wait until they have."""
    before = {daemon.name: _reloads(daemon) for daemon in daemons}
    for daemon in daemons:
        daemon.reload()
    eventually(
        lambda: all(_reloads(one) > before[one.name] for one in daemons),
        30,
        lambda: "\n".join(one.log(f"{one.name}[{one.server.pid}]") for one in daemons),
    )


def _reloads(daemon: Daemon) -> int:
    return daemon.log().count("new settings")


@pytest.mark.timeout(180)
def test_reloads_of_both_daemons_under_load_delay_nothing(
    mailsystem: MailSystem, fresh: Fresh
) -> None:
    mailsystem.add_domain(fresh.domain)
    boxes = [mailsystem.add_user(fresh.address(f"u{number}")) for number in range(4)]
    client = (fresh.ip, "mx.sender.example")
    daemons = (mailsystem.milter, mailsystem.agent)
    with Load(
        mailsystem.port(), lambda number: Way(boxes[number % 4].user, client), CLIENTS
    ) as load:
        load.more(BETWEEN)
        for _reload in range(RELOADS):
            reload(*daemons)
            load.more(BETWEEN)
        load.stop()
    assert (load.refused, load.errors) == ([], [])
    assert load.delayed == []
    mailsystem.postfix.wait_empty(60)
    assert "status=deferred" not in mailsystem.postfix.log(f"@{fresh.domain}>")
    found = sum((tokens(box.headers()) for box in boxes), start=tokens([]))
    assert found == dict.fromkeys(load.accepted.queue_ids, 1)
    for daemon in daemons:
        assert owners(daemon) == {daemon.user}
