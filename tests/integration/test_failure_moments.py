"""`kill -9` of the agent at the moments that decide between a loss and a duplicate.

Between the agent and the real Dovecot stands a hop that holds back one reply; the agent is killed
while it waits. A message that Dovecot or the quarantine has, and of which Postfix does not know it,
may come twice; it is never lost. One that they do not have comes once. The same holds for a release
out of quarantine, with the store in the place of Postfix.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from iems.store.quarantine import Quarantine
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


@pytest.fixture
def held(mailsystem: MailSystem, hop: Hop, box: Mailbox, fresh: Fresh) -> str:
    """A message for him in quarantine: its id."""
    del hop  # before the message, for it restarts the agent
    mailsystem.lists.list(DELEGATED, fresh.ip)
    client = (fresh.ip, "mx.sender.example")
    store = Quarantine(mailsystem.site.agent_state / "quarantine")
    before = set(store.ids())
    assert send(mailsystem.port(), SENDER, [box.user], MESSAGE, client=client).accepted
    eventually(lambda: set(store.ids()) - before, 30)
    mailsystem.postfix.wait_empty()
    [name] = set(store.ids()) - before
    return name


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """For a command that has to wait."""
    with ThreadPoolExecutor(1) as one:
        yield one


def releasing(
    mailsystem: MailSystem, pool: ThreadPoolExecutor, name: str
) -> Future[subprocess.CompletedProcess[bytes]]:
    """A release under way."""
    return pool.submit(mailsystem.iems_ends, "quarantine", "release", name)


@pytest.mark.parametrize("whom", WHOM)
@pytest.mark.parametrize(("word", "copies"), [(ASKED, 1), (SAVED, 2)], ids=["354", "250"])
def test_an_agent_killed_in_a_release_loses_nothing(
    mailsystem: MailSystem,
    hop: Hop,
    box: Mailbox,
    held: str,
    pool: ThreadPoolExecutor,
    word: bytes,
    copies: int,
    whom: str,
) -> None:
    """Twice it comes only where Dovecot had it, and somebody releases it again."""
    hop.hold(word)
    done = releasing(mailsystem, pool, held)
    worker = hop.wait()
    assert len(box.messages()) == (word == SAVED)
    kill(mailsystem, whom, [worker])
    hop.let_go()
    ended = done.result(100)
    assert ended.returncode == 75
    assert b"it stays in quarantine unless it was delivered" in ended.stderr
    assert len(mailsystem.quarantined_for(box.user)) == 1
    assert mailsystem.iems_ends("quarantine", "release", held).returncode == 0
    assert len(box.wait(copies)) == copies
    assert not mailsystem.quarantined_for(box.user)


def test_a_command_killed_in_a_release_stops_nothing(
    mailsystem: MailSystem, hop: Hop, box: Mailbox, held: str
) -> None:
    """The agent goes on, and a second release meanwhile is told to wait."""
    hop.hold(SAVED)
    with mailsystem.iems_begins("quarantine", "release", held) as first:
        hop.wait()
        busy = mailsystem.iems_ends("quarantine", "release", held)
        assert (busy.returncode, b"is being released" in busy.stderr) == (75, True)
        first.kill()
    hop.let_go()
    eventually(lambda: not mailsystem.quarantined_for(box.user))
    assert len(box.messages()) == 1
