"""What the logs of an hour say was done to mail has a record that says why and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from bench import load
from tests.integration.conftest import Fresh
from tests.integration.ledger import NAMED, ledgers
from tests.integration.mixed import SENDER, Mixed
from tests.integration.stack.faults import locked
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import LmtpClient
from tests.waiting import eventually

MESSAGES, PARALLEL = 1000, 20
"""The messages of an hour in one burst; `make soak` sends them for as long as it is told."""


@pytest.fixture
def mixed(mailsystem: MailSystem, fresh: Fresh) -> Iterator[Mixed]:
    """A domain with a user for each choice, and daemons that are at nothing else."""
    for daemon in (mailsystem.milter, mailsystem.agent):
        daemon.stop()
        daemon.start()
    barred = fresh.ip.replace("198.18.", "198.19.")
    yield Mixed(mailsystem, fresh.domain, fresh.ip, barred, f"IPV6:{fresh.ip6}")
    mailsystem.postfix.empty()


def sent(mixed: Mixed, talks: Iterable[load.Conversation]) -> None:
    """All these, each of which goes as it must, until Postfix has tried each."""
    done = load.run(("127.0.0.1", mixed.system.port()), talks, PARALLEL)
    assert not done.refused, done.refused[:5]
    postfix = mixed.system.postfix
    eventually(
        lambda: all(all(one.reasons) for one in postfix.entries()),
        60,
        lambda: postfix.log()[-3000:],
    )


def around_the_queue(mixed: Mixed) -> None:
    """What comes from nowhere and to nobody: only who is at the agent's socket can send it."""
    with LmtpClient(mixed.system.site.agent_socket) as client:
        recipients = [mixed.at(one) for one in ("nobody", "quarantine1", "discard1", "junk1")]
        for _message in range(20):
            client.send(SENDER, recipients, b"Subject: from nowhere\r\n\r\ntext\r\n")


@pytest.mark.timeout(240)
def test_records_and_drops_are_the_lines_of_the_log(mailsystem: MailSystem, mixed: Mixed) -> None:
    """At the end somebody else holds the records for longer than a writer waits."""
    milter, agent = both = ledgers(mailsystem)
    sent(mixed, mixed.talks(MESSAGES))
    around_the_queue(mixed)
    assert [one.settle() for one in both] == [0, 0], "none was dropped"
    assert [one.nameless() for one in both] == [[], []]
    assert milter.actions.keys() == {"accept", "reject", "defer"}
    assert agent.actions.keys() == {"deliver", *NAMED}
    assert min(*milter.actions.values(), *agent.actions.values()) > 10
    # What waits would be tried again, and a deferral waits for its record as long as it may.
    mailsystem.postfix.empty()
    with locked(milter.state), locked(agent.state):
        sent(mixed, mixed.accepted(30))
        eventually(lambda: milter.dropped() and agent.dropped(), 30)
    for one in both:
        assert one.settle() > 0
