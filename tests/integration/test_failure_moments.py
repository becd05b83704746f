"""`kill -9` of the agent at the moments that decide between a loss and a duplicate.

Between the agent and the real Dovecot stands a hop that holds back one reply; the agent is killed
while it waits. A message that Dovecot or the quarantine has, and of which Postfix does not know it,
may come twice; it is never lost. One that they do not have comes once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator

import pytest

from tests.integration.conftest import Fresh
from tests.integration.stack.faults import locked
from tests.integration.stack.ground import Ground
from tests.integration.stack.hop import Hop
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import send
from tests.waiting import eventually

SENDER = "a@sender.example"
MESSAGE = b"Subject: at the wrong moment\r\n\r\ntext\r\n"
ASKED = b"354 "
SAVED = b" Saved"
"""What Dovecot's reply has once the message is in the mailbox."""

WHOM = ("worker", "supervisor", "all")


@pytest.fixture(scope="module")
def hop(mailsystem: MailSystem, ground: Ground) -> Iterator[Hop]:
    """Whatever the agent delivers goes through here."""
    with Hop(ground.place("hop") / "lmtp", mailsystem.dovecot.lmtp) as relay:
        settings = f'[agent.upstreams]\nlocal = "unix:{relay.path}"\n'
        file = mailsystem.site.write("conf.d/way.toml", settings)
        mailsystem.agent.stop()
        mailsystem.agent.start()
        try:
            yield relay
        finally:
            file.unlink()
            mailsystem.agent.stop()
            mailsystem.agent.start()


@pytest.fixture
def box(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user of the test's own, who wants mail of listed clients in quarantine."""
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("alice"), "dnsbl/delegated listed choice quarantine")


def kill(mailsystem: MailSystem, whom: str, workers: Collection[int]) -> None:
    """Kill these workers, or the supervisor, or all of the agent; it serves again afterwards."""
    agent = mailsystem.agent
    if whom == "worker":
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: not set(workers) & set(agent.server.members()))
        return
    if whom == "supervisor":
        os.kill(agent.server.pid, signal.SIGKILL)
        eventually(lambda: not agent.server.running)
        agent.server.gone()
    else:
        agent.server.kill()
    agent.start()


def deferred(mailsystem: MailSystem, box: Mailbox) -> None:
    """Until Postfix has noticed; then it tries again."""

    def log() -> str:
        return mailsystem.postfix.log(f"to=<{box.user}>")

    eventually(lambda: "status=deferred (lost connection" in log(), 20, log)
    mailsystem.postfix.flush()
    mailsystem.postfix.wait_empty()
    assert "status=bounced" not in log()


@pytest.mark.parametrize("whom", WHOM)
@pytest.mark.parametrize(("word", "copies"), [(ASKED, {1}), (SAVED, {1, 2})], ids=["354", "250"])
def test_an_agent_killed_while_dovecot_answers_loses_nothing(
    mailsystem: MailSystem, hop: Hop, box: Mailbox, word: bytes, copies: set[int], whom: str
) -> None:
    hop.hold(word)
    assert send(mailsystem.port(), SENDER, [box.user], MESSAGE).accepted
    worker = hop.wait()
    assert len(box.messages()) == (word == SAVED)
    kill(mailsystem, whom, [worker])
    hop.let_go()
    deferred(mailsystem, box)
    assert len(box.messages()) in copies


@pytest.mark.parametrize("whom", WHOM)
def test_an_agent_killed_between_quarantine_and_reply_loses_nothing(
    mailsystem: MailSystem, box: Mailbox, fresh: Fresh, whom: str
) -> None:
    mailsystem.lists.list(DELEGATED, fresh.ip)
    client = (fresh.ip, "mx.sender.example")
    with locked(mailsystem.site.agent_state):
        assert send(mailsystem.port(), SENDER, [box.user], MESSAGE, client=client).accepted
        # The file is there, the record waits for the lock, and so does the reply.
        eventually(lambda: mailsystem.quarantined_for(box.user))
        kill(mailsystem, whom, mailsystem.agent.workers())
    deferred(mailsystem, box)
    assert len(mailsystem.quarantined_for(box.user)) in {1, 2}
    assert not box.messages()
