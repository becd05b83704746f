"""The processes of the milter behind a real Postfix: signals, reloads, images, kills."""

from __future__ import annotations

import contextlib
import email
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stack.ground import Ground
from tests.integration.stack.smtp import Client
from tests.integration.stack.telling import MESSAGE, Senders, Setting, started
from tests.waiting import eventually


@pytest.fixture(scope="module")
def setting(ground: Ground) -> Iterator[Setting]:
    """Started once for all tests of the module."""
    with started(ground) as one:
        yield one


def test_a_stray_signal_touches_neither_sessions_nor_socket(setting: Setting) -> None:
    before, inode = setting.workers(), setting.socket.stat().st_ino
    with setting.client() as client:
        client.command("MAIL FROM:<a@sender.example>")
        for pid in before:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                os.kill(pid, number)
        assert client.command("RCPT TO:<slow@example.test>").code == 250
        (ended,) = client.data(MESSAGE)
        assert ended.code == 250
    assert setting.workers() == before
    assert setting.socket.stat().st_ino == inode


def test_ten_reloads_under_twenty_sessions_delay_nothing(setting: Setting) -> None:
    with Senders(setting, 20) as senders:
        for _number in range(10):
            before = setting.workers()
            setting.milter.signal(signal.SIGHUP)
            eventually(lambda: len(setting.workers() - before) >= 3, 20)  # noqa: B023 - used here
            senders.more(20)
    assert senders.failures == []
    for queue_id in senders.ids:
        setting.sink.wait(queue_id)
    eventually(lambda: len(setting.workers()) == 3, 20, setting.milter.tail)


def test_an_open_session_outlives_a_reload(setting: Setting) -> None:
    before = setting.workers()
    with setting.client() as client:
        client.command("MAIL FROM:<a@sender.example>")
        assert client.command("RCPT TO:<alice@example.test>").code == 250
        setting.milter.signal(signal.SIGHUP)
        eventually(lambda: len(setting.workers() - before) == 3, 20)
        (ended,) = client.data(MESSAGE)
        assert ended.code == 250
        eventually(lambda: len(setting.workers() & before) == 1)
        caught = setting.sink.wait(ended.text.split()[-1])
        worker = int(email.message_from_bytes(caught.message)["X-Worker"])
        assert worker in before
    eventually(lambda: not setting.workers() & before, 20, setting.milter.tail)


def test_a_new_image_delays_nothing(setting: Setting) -> None:
    before = setting.workers()
    with Senders(setting, 10) as senders:
        setting.milter.signal(signal.SIGUSR2)
        eventually(lambda: len(setting.workers() - before) >= 3, 20, setting.milter.tail)
        senders.more(30)
    assert senders.failures == []
    eventually(lambda: not setting.workers() & before, 20, setting.milter.tail)


def test_a_killed_worker_costs_its_own_sessions_a_delay_only(setting: Setting) -> None:
    eventually(lambda: len(setting.workers()) == 3, 20)
    clients: list[Client] = []

    def both() -> bool:
        """Whichever worker wakes first has a connection, so ten may be with one of the two."""
        clients.extend(setting.client() for _ in range(10))
        return sum(_sockets(pid) > idle[pid] for pid in idle) == 2

    idle = {pid: _sockets(pid) for pid in setting.workers()}
    eventually(both)
    for client in clients:
        client.command("MAIL FROM:<a@sender.example>")
        client.command("RCPT TO:<alice@example.test>")
    victim = _busiest(setting)
    os.kill(victim, signal.SIGKILL)
    codes = [client.data(MESSAGE)[0].code for client in clients]
    assert set(codes) == {250, 451}
    eventually(lambda: len(setting.workers() - {victim}) == 3, 10, setting.milter.tail)
    for client in clients:
        client.close()
    setting.delivered(setting.send())


def _busiest(setting: Setting) -> int:
    """The worker with the most sockets open."""
    return max(setting.workers(), key=_sockets)


def _sockets(pid: int) -> int:
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(entry.readlink()).startswith("socket:")
    return count
