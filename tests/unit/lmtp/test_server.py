"""Many connections, a bound on them, and an end that loses nothing."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.serve.control import Control
from iems.store.spool import Spool
from lmtp.reply import Reply, reply
from lmtp.server import Server
from lmtp.session import Limits, Session
from lmtp.transaction import Transaction
from lmtp.wire import Wire
from tests.unit.lmtp.parts import Heard
from tests.waiting import eventually


@dataclass
class Gate:
    """An agent that holds every message until it is opened."""

    opened: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """See `Deliver`."""
        self.waiting += 1
        self.opened.wait(20)
        return [reply(250, "2.0.0", "Saved")] * len(transaction.recipients)

    def release(self, token: str) -> Reply:
        """See `lmtp.release`."""
        self.waiting += 1
        self.opened.wait(20)
        return reply(250, "2.0.0", f"Released {token}")


class Caller:
    """One client."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def say(self, data: bytes) -> None:
        """Send octets."""
        self._socket.sendall(data)

    def hear(self, count: int = 1) -> list[int]:
        """The codes of so many replies; 0 at the end of the connection."""
        codes: list[int] = []
        while len(codes) < count:
            line = self._file.readline()
            if line[3:4] != b"-":
                codes.append(int(line[:3] or 0))
        return codes

    def begin(self) -> None:
        """A message up to its end, which is not answered yet."""
        self.say(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n")
        assert self.hear(5) == [220, 250, 250, 250, 354]
        self.say(b"Subject: x\r\n\r\n.\r\n")

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


@dataclass
class Running:
    """A server that accepts."""

    path: Path
    control: Control
    gate: Gate
    log: Heard
    thread: threading.Thread
    callers: list[Caller]

    def call(self) -> Caller:
        """A new connection."""
        caller = Caller(self.path)
        self.callers.append(caller)
        return caller

    @property
    def over(self) -> bool:
        """Whether the server has come to its end."""
        return not self.thread.is_alive()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server for three connections."""
    path, gate, log, control = tmp_path / "s", Gate(), Heard(), Control()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(20)
    listener.setblocking(False)
    limits = Limits(message=10_000)
    spool = Spool(tmp_path)

    def make(wire: Wire) -> Session:
        return Session(wire, "mail.example.test", spool, gate, gate.release, log, limits)

    server = Server(make, log, control.meter, connections=3)
    thread = threading.Thread(target=server.serve, args=(listener, control))
    thread.start()
    one = Running(path, control, gate, log, thread, [])
    yield one
    gate.opened.set()
    for caller in one.callers:
        caller.close()
    control.drain(10)
    thread.join(20)
    listener.close()
    assert one.over


def test_connections_are_served_side_by_side(running: Running) -> None:
    callers = [running.call() for _number in range(3)]
    for caller in callers:
        caller.begin()
    eventually(lambda: running.gate.waiting == 3)
    running.gate.opened.set()
    assert [caller.hear() for caller in callers] == [[250]] * 3


def test_who_has_sessions_lets_another_worker_come_first(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = [running.call() for _number in range(2)]
    assert [caller.hear() for caller in callers] == [[220]] * 2
    monkeypatch.setattr("lmtp.server._GIVE_WAY", 1.0)
    monkeypatch.setattr("lmtp.server._LONGEST", 2.0)
    late = running.call()
    poll = select.poll()
    poll.register(late._socket, select.POLLIN)
    assert not poll.poll(500), "it was greeted at once"
    assert late.hear() == [220]


def test_one_too_many_waits_until_another_leaves(running: Running) -> None:
    callers = [running.call() for _number in range(3)]
    assert [caller.hear() for caller in callers] == [[220]] * 3
    late = running.call()
    late.say(b"NOOP\r\n")
    late._socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late._socket.recv(1, socket.MSG_PEEK)
    late._socket.settimeout(20)
    callers[1].say(b"QUIT\r\n")
    assert callers[1].hear(2) == [221, 0]
    assert late.hear(2) == [220, 250]


def test_a_quiet_time_takes_no_place(running: Running) -> None:
    first = running.call()
    assert first.hear() == [220]
    first._socket.settimeout(0.6)
    with pytest.raises(TimeoutError):
        first._socket.recv(1, socket.MSG_PEEK)
    assert running.call().hear() == [220]


def test_a_drain_finishes_what_is_under_way_and_accepts_nothing(running: Running) -> None:
    caller = running.call()
    caller.begin()
    eventually(lambda: running.gate.waiting == 1)
    running.control.drain(10)
    late = running.call()
    assert not running.over
    running.gate.opened.set()
    assert caller.hear(3) == [250, 421, 0]
    eventually(lambda: running.over)
    late._socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        late.hear()


def test_a_drain_tells_idle_connections_to_leave_at_once(running: Running) -> None:
    caller = running.call()
    running.gate.opened.set()
    caller.begin()
    assert caller.hear() == [250]
    running.control.drain(60)
    assert caller.hear(2) == [421, 0]
    eventually(lambda: running.over)


def test_a_drain_lets_a_new_connection_have_its_first_transaction(running: Running) -> None:
    caller = running.call()
    caller.say(b"LHLO me\r\n")
    assert caller.hear(2) == [220, 250]
    running.control.drain(10)
    running.gate.opened.set()
    # The drain has seen the connection more than once before its first transaction begins.
    caller._socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        caller._socket.recv(1, socket.MSG_PEEK)
    caller._socket.settimeout(20)
    caller.say(b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n")
    assert caller.hear(3) == [250, 250, 354]
    caller.say(b".\r\n")
    assert caller.hear(3) == [250, 421, 0]


def test_a_drain_has_an_end(running: Running) -> None:
    caller = running.call()
    caller.begin()
    eventually(lambda: running.gate.waiting == 1)
    running.control.drain(0.3)
    eventually(lambda: running.over, 5)
    assert "gave up" in running.log.lines[-1]


def test_a_client_that_vanishes_frees_its_place(running: Running) -> None:
    for _number in range(5):
        caller = running.call()
        assert caller.hear() == [220]
        caller.close()
    assert running.call().hear() == [220]
