"""Clients that cost more than they should: idle, slow, enormous. The others are served meanwhile.

Postfix bounds who comes from outside; here the bounds of our own sockets are tried, too, past it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from iems.serve.status import resident
from lmtp.server import CONNECTIONS
from tests.integration.conftest import Fresh
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.smtp import Client, send
from tests.waiting import eventually

SENDER = "a@sender.example"
MESSAGE = b"Subject: in between\r\n\r\ntext\r\n"

IDLE = 1000
_SOON = 10.0
"""Seconds in which a message is taken and delivered beside all this; 0.3 on two idle cores."""

_SPOKEN = b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<nobody@nowhere.example>\r\n" * 9
_PACKETS = struct.pack(">IcIII", 13, b"O", 6, 0, 0) + struct.pack(">Ic", 200, b"C") + b"x" * 199
"""What a milter waits for: who begins with letters tells a length that it does not take."""

_MEMORY = 200 << 20
"""Bytes of one process with a thousand connections, and with 50 MB of header: far below
`max_memory`."""


@pytest.fixture
def box(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    """A user of the test's own."""
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("alice"))


@contextmanager
def idle(path: Path, count: int) -> Iterator[list[socket.socket]]:
    """So many connections on which nothing is said."""
    with ExitStack() as stack:
        opened = []
        for _number in range(count):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.settimeout(_SOON)
            client.connect(str(path))
            opened.append(client)
        yield opened


def largest(mailsystem: MailSystem) -> int:
    """Bytes of the largest process of both daemons."""
    workers = (*mailsystem.milter.workers(), *mailsystem.agent.workers())
    return max(resident(pid) for pid in workers)


def threads(daemon: Daemon) -> int:
    """Of all its processes together."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in daemon.workers())


def descriptors(daemon: Daemon) -> int:
    """Of all its processes together."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in daemon.workers())


def served(mailsystem: MailSystem, box: Mailbox) -> None:
    """A message is taken and delivered in time."""
    before = len(box.messages())
    began = time.monotonic()
    assert send(mailsystem.port(), SENDER, [box.user], MESSAGE).accepted
    box.wait(before + 1)
    assert time.monotonic() - began < _SOON


def test_a_thousand_idle_connections_to_the_milter(mailsystem: MailSystem, box: Mailbox) -> None:
    with idle(mailsystem.milter.socket, IDLE):
        eventually(lambda: descriptors(mailsystem.milter) > IDLE, _SOON)
        # Debian's libmilter keeps a pool of threads: who says nothing costs a descriptor.
        assert threads(mailsystem.milter) < IDLE // 10
        served(mailsystem, box)
        assert largest(mailsystem) < _MEMORY
    served(mailsystem, box)


def test_a_thousand_idle_connections_to_the_agent_cost_a_delay(
    mailsystem: MailSystem, box: Mailbox
) -> None:
    """They fill all its sessions, so mail waits in the queue, and comes when they are gone."""
    with idle(mailsystem.agent.socket, IDLE):
        eventually(lambda: threads(mailsystem.agent) > 2 * CONNECTIONS, _SOON)
        assert send(mailsystem.port(), SENDER, [box.user], MESSAGE).accepted
        assert largest(mailsystem) < _MEMORY
    mailsystem.postfix.flush()
    box.wait(deadline=40)
    mailsystem.postfix.wait_empty(40)


def test_clients_that_send_one_byte_a_second(mailsystem: MailSystem, box: Mailbox) -> None:
    over = threading.Event()
    where: list[tuple[int, tuple[str, int] | str, bytes]] = [
        *[(socket.AF_INET, ("127.0.0.1", mailsystem.port()), _SPOKEN)] * 5,
        *[(socket.AF_UNIX, str(mailsystem.agent.socket), _SPOKEN)] * 5,
        *[(socket.AF_UNIX, str(mailsystem.milter.socket), _PACKETS)] * 5,
    ]
    threads = [threading.Thread(target=_drip, args=(*one, over)) for one in where]
    for thread in threads:
        thread.start()
    try:
        for _message in range(5):
            served(mailsystem, box)
            assert not over.wait(0.5)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _drip(family: int, address: tuple[str, int] | str, text: bytes, over: threading.Event) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.connect(address)
        for octet in text:
            if over.wait(1.0):
                return
            client.send(bytes([octet]))


def test_fifty_megabytes_of_header_are_refused(mailsystem: MailSystem, box: Mailbox) -> None:
    """Postfix bounds a field and not their number: the milter refuses, the agent never sees it."""
    field = b"X-Much: " + b"x" * 990 + b"\r\n"
    message = field * (50_000_000 // len(field)) + MESSAGE
    with Client(mailsystem.port()) as client:
        sent = client.send(SENDER, [box.user], message)
        assert sent.data is not None
        assert (sent.data.code, sent.data.text.split()[0]) == (552, "5.3.4")
        assert "bytes of header" in sent.data.text
    assert largest(mailsystem) < _MEMORY
    assert not [one for one in mailsystem.postfix.entries() if box.user in one.recipients]
    served(mailsystem, box)


def test_a_thousand_recipients_of_one_message(mailsystem: MailSystem, fresh: Fresh) -> None:
    """As many as Postfix takes in one transaction (smtpd_recipient_limit), each with a policy."""
    mailsystem.add_domain(fresh.domain)
    boxes = [
        mailsystem.add_user(fresh.address(f"u{number}"), "dnsbl/delegated listed choice junk")
        for number in range(20)
    ]
    addresses = [f"u{number % 20}+{number}@{fresh.domain}" for number in range(1000)]
    sent = send(mailsystem.port(), SENDER, addresses, MESSAGE)
    assert len(sent.accepted) == 1000
    for box in boxes:
        box.wait(50, deadline=50)
    mailsystem.postfix.wait_empty()
    eventually(lambda: largest(mailsystem) < _MEMORY)
