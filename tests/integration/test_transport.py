"""The agent's transport as it is deployed: what it tells, how much at once, and when it gives up.

What stands behind it is a sink, and Postfix's general limits are others than the transport's own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.integration.stack import deployed
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import send
from tests.waiting import eventually

SENDER = "s@x.test"
_MANY = 1000
_OTHERS = {
    "default_destination_recipient_limit": "7",
    "default_destination_concurrency_limit": "3",
    "initial_destination_concurrency": "2",
}


@dataclass
class Counter:
    """Answers of the sink, each of which needs one of `leave`."""

    leave: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_MANY))
    came: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def __call__(self, recipient: str) -> str:
        self.came.append(recipient)
        assert self.leave.acquire(timeout=100)
        self.gone.append(recipient)
        return "250 2.0.0 ok"

    def hold(self) -> None:
        """No more answers until some may leave."""
        self.leave = threading.Semaphore(0)
        self.came, self.gone = [], []

    @property
    def held(self) -> int:
        """Transactions that wait for their answer."""
        return len(self.came) - len(self.gone)


@pytest.fixture(scope="module")
def counter() -> Counter:
    """What the sink answers."""
    return Counter()


@pytest.fixture(scope="module")
def sink(counter: Counter) -> Iterator[Sink]:
    """In the agent's place."""
    with Sink(counter) as one:
        yield one


@pytest.fixture(scope="module")
def aside() -> Iterator[Sink]:
    """Where mail for the rest of the world goes."""
    with Sink() as one:
        yield one


@pytest.fixture(scope="module")
def post(ground: Ground, sink: Sink, aside: Sink) -> Iterator[Postfix]:
    """A Postfix with the transport; nothing answers for dead.test."""
    server = Postfix(
        ground,
        main={
            "virtual_mailbox_domains": "live.test, dead.test",
            "virtual_mailbox_maps": "static:ok",
            "virtual_transport": f"iems-lmtp:inet:127.0.0.1:{sink.port}",
            "transport_maps": f"inline:{{dead.test=iems-lmtp:inet:127.0.0.1:{ground.port()}}}",
            "default_transport": f"smtp:[127.0.0.1]:{aside.port}",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            **_OTHERS,
            **deployed.transport(),
        },
        listeners=[Listener("internet", ground.port(), {})],
        services=[deployed.service("iems-lmtp").line()],
    )
    with running(server):
        yield server
        left = server.entries()
        server.empty()
    assert not left, f"a test left mail in the queue: {left}"


def test_queue_id_long_lines_and_fifty_recipients(post: Postfix, sink: Sink) -> None:
    users = [f"u{number}@live.test" for number in range(120)]
    line = b"x" * 3000
    sent = send(post.port(), SENDER, users, b"Subject: x\r\n\r\n" + line + b"\r\n")
    assert len(sent.accepted) == len(users)
    post.wait_empty()
    assert sent.data is not None
    caught = sink.caught(sent.data.text.rpartition(" ")[2])
    assert sorted(len(one.recipients) for one in caught) == [20, 50, 50]
    assert all(one.message.endswith(b"\r\n\r\n" + line + b"\r\n") for one in caught)


def test_twenty_at_once_from_the_first_on(post: Postfix, aside: Sink, counter: Counter) -> None:
    counter.hold()
    try:
        for number in range(60):
            assert send(post.port(), SENDER, [f"u{number}@live.test"], b"\r\nx\r\n").accepted
        eventually(lambda: counter.held >= 20, 20, lambda: f"{counter.held} at once")
        # A success makes room for more where the limit leaves it.
        counter.leave.release(10)
        eventually(lambda: len(counter.gone) == 10 and counter.held >= 20, 20)
        # What comes last has passed the queue manager when all others have.
        assert send(post.port(), SENDER, ["last@elsewhere.test"], b"\r\nx\r\n").accepted
        eventually(aside.caught, 20)
        assert counter.held == 20
    finally:
        counter.leave.release(_MANY)
    post.wait_empty()
    assert len(set(counter.gone)) == 60


def test_an_agent_that_is_away_is_tried_for_every_message(post: Postfix) -> None:
    for number in range(30):
        assert send(post.port(), SENDER, [f"u{number}@dead.test"], b"\r\nx\r\n").accepted

    def deferred(times: int) -> bool:
        lines = re.findall(r"to=<(u\d+)@dead.test>.* status=deferred", post.log())
        return len(lines) >= 30 * times and len(set(lines)) == 30

    eventually(lambda: deferred(1), 20, lambda: post.log("dead.test")[-2000:])
    # The second time all of them at once.
    post.flush()
    eventually(lambda: deferred(2), 20, lambda: post.log("dead.test")[-2000:])
    assert "suspended" not in post.log("dead.test")
    post.empty()
