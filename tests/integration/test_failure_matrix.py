"""What fails for some seconds under load, and comes back: nothing is lost, nothing unchecked.

What is counted, and how, is in `accounted`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.accounted import Fault, survives
from tests.integration.conftest import Fresh
from tests.integration.dns_fake import Reply, answering, fake, silent
from tests.integration.stack.clock import Clock
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.faults import Disk, Hanging, closed, hanging, locked
from tests.integration.stack.ground import Startable, owned
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.programs import run
from tests.waiting import eventually

LONG = 3.0
"""Seconds that a fault lasts: workers, Postfix and their connections all meet it."""

HOUR = 3600
BEYOND = 7.0
"""Longer than the 5 s that directory and resolver have to answer."""

TRUNCATED = 0x0200
"""The TC bit (RFC 1035 section 4.1.1)."""


def lasts(seconds: float) -> None:
    """Let the fault go on for so long."""
    threading.Event().wait(seconds)


def away(name: str, seconds: float = LONG) -> Fault:
    """A server is stopped and started again."""

    @contextmanager
    def fault(system: MailSystem) -> Iterator[Collection[str]]:
        server: Startable = getattr(system, name)
        server.stop()
        try:
            lasts(seconds)
        finally:
            server.start()
        yield ()

    return fault


def hung(name: str, seconds: float = BEYOND) -> Fault:
    """A server accepts and says nothing."""

    @contextmanager
    def fault(system: MailSystem) -> Iterator[Collection[str]]:
        server: Hanging = getattr(system, name)
        with hanging(server):
            lasts(seconds)
        yield ()

    return fault


def slow(name: str) -> Fault:
    """A server that works for a tenth of the time."""

    @contextmanager
    def fault(system: MailSystem) -> Iterator[Collection[str]]:
        server: Hanging = getattr(system, name)
        for _pause in range(6):
            with hanging(server):
                lasts(0.9)
            lasts(0.1)
        yield ()

    return fault


@contextmanager
def nonsense_from_the_directory(system: MailSystem) -> Iterator[Collection[str]]:
    """Something else listens on slapd's socket and answers every request with noise."""
    system.slapd.stop()
    path, over = system.slapd.socket, threading.Event()
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen(50)
        listener.settimeout(0.1)
        thread = threading.Thread(target=_babble, args=(listener, over))
        thread.start()
        try:
            lasts(LONG)
        finally:
            over.set()
            thread.join()
            path.unlink()
            system.slapd.start()
    yield ()


def _babble(listener: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        try:
            connection, _address = listener.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(0.5)
            try:
                connection.recv(4096)
                connection.sendall(os.urandom(512))
            except OSError:
                continue


def resolver_says(reply: Reply, tcp: Reply = silent, source: str = "") -> Fault:
    """Something else answers in the resolver's place, or from another address and port."""

    @contextmanager
    def fault(system: MailSystem) -> Iterator[Collection[str]]:
        system.resolver.stop()
        try:
            with fake(reply, tcp, system.resolver.port, source):
                lasts(BEYOND)
        finally:
            system.resolver.start()
        yield ()

    return fault


_lie = answering("@ 60 A 127.0.0.2")
"""Everybody is on every list: who believes it refuses all mail, for one list is enforced."""


def _with_another_id(query: bytes) -> list[bytes]:
    return [bytes([query[0] ^ 0xFF, query[1]]) + answer[2:] for answer in _lie(query)]


def _of_another_question(query: bytes) -> list[bytes]:
    return [answer.replace(b"\x02bl\x04test", b"\x02bl\x04else") for answer in _lie(query)]


@contextmanager
def mailboxes_take_nothing(system: MailSystem) -> Iterator[Collection[str]]:
    """Dovecot cannot write where the mail is.

    Nor can it remove what it had locked: while the process that is named in such a lock lives, and
    an LMTP process may live for long, everybody who opens the mailbox waits for two minutes. So it
    is with its list of UIDs, with keywords and with subscriptions.
    """
    folder = Path(system.dovecot.folder) / "mail"
    before = folder.stat()
    owned(folder, "root", "root", 0o700)
    try:
        lasts(LONG)
    finally:
        for lock in folder.rglob("*.lock"):
            lock.unlink()
        os.chown(folder, before.st_uid, before.st_gid)
        folder.chmod(before.st_mode & 0o7777)
    yield ()


@contextmanager
def no_descriptors(system: MailSystem) -> Iterator[Collection[str]]:
    """No process of ours can open anything more."""
    with ExitStack() as stack:
        for daemon in (system.milter, system.agent):
            stack.enter_context(_few_descriptors(daemon))
        lasts(LONG)
    yield ()


@contextmanager
def _few_descriptors(daemon: Daemon) -> Iterator[None]:
    workers = daemon.workers()
    for pid in workers:
        _descriptors(daemon, pid, len(list(Path(f"/proc/{pid}/fd").iterdir())))
    try:
        yield
    finally:
        for pid in set(workers) & set(daemon.workers()):
            _descriptors(daemon, pid, 1024)


def _descriptors(daemon: Daemon, pid: int, most: int) -> None:
    user = ("setpriv", "--reuid", daemon.user, "--regid", daemon.user, "--init-groups", "--")
    run(*user, "prlimit", "--pid", str(pid), f"--nofile={most}:")


@contextmanager
def no_spool(system: MailSystem) -> Iterator[Collection[str]]:
    """The agent's spool and the records of both take nothing."""
    with closed(system.site.agent_state / "spool"), locked(system.site.milter_state):
        lasts(LONG)
    yield ()


@contextmanager
def broken_settings(system: MailSystem) -> Iterator[Collection[str]]:
    """Both are told to reload settings that are wrong."""
    file = system.site.write("conf.d/zz-broken.toml", "colour = 3\n")
    for daemon in (system.milter, system.agent):
        daemon.reload()
    lasts(LONG)
    file.unlink()
    yield ()


@contextmanager
def restarts_in_both_orders(system: MailSystem) -> Iterator[Collection[str]]:
    """Postfix and our daemons are stopped in both orders, and started in the same.

    Postfix, stopped between a delivery and its own note of it, delivers again: what its queue
    manager still had may come twice.
    """
    under_way: set[str] = set()
    servers: tuple[Startable, ...] = (system.postfix, system.milter, system.agent)
    for order in (servers, servers[::-1]):
        for server in order:
            server.stop()
        entries = system.postfix.entries()
        under_way |= {one.queue_id for one in entries if one.queue == "active"}
        for server in order:
            server.start()
    yield under_way


@contextmanager
def clocks_jump(system: MailSystem) -> Iterator[Collection[str]]:
    """The clock of both daemons goes an hour forward, back, an hour back and forward again."""
    site = system.site
    clocks = [
        Clock(daemon, state / "status.json")
        for daemon, state in ((system.milter, site.milter_state), (system.agent, site.agent_state))
    ]
    with clocks[0].running(), clocks[1].running():
        # Two workers and the process for jobs, which is the last to be started.
        daemons = (system.milter, system.agent)
        eventually(lambda: all(len(daemon.workers()) == 3 for daemon in daemons), 20)
        workers = [daemon.workers() for daemon in daemons]
        for seconds in (HOUR, 0, -HOUR, 0):
            for clock in clocks:
                clock.set(seconds)
            for clock in clocks:
                clock.seen(seconds)
            lasts(1.0)
        # Nobody was taken for hung, nobody was told to drain.
        assert [daemon.workers() for daemon in daemons] == workers
    yield ()


FAULTS: dict[str, Fault] = {
    "slapd stopped": away("slapd"),
    "slapd hangs": hung("slapd"),
    "slapd is slow": slow("slapd"),
    "slapd answers nonsense": nonsense_from_the_directory,
    "dovecot stopped": away("dovecot"),
    "dovecot hangs": hung("dovecot", LONG),
    "dovecot cannot write": mailboxes_take_nothing,
    "resolver dead": away("resolver"),
    "resolver hangs": hung("resolver"),
    "resolver is slow": slow("resolver"),
    "resolver fails": resolver_says(answering(rcode="SERVFAIL")),
    "resolver truncates": resolver_says(answering(flags=TRUNCATED)),
    "resolver answers with another id": resolver_says(_with_another_id),
    "resolver answers another question": resolver_says(_of_another_question),
    "resolver answers from another port": resolver_says(_lie, source="127.0.0.1"),
    "resolver answers from another address": resolver_says(_lie, source="127.0.0.9"),
    "lists answer error codes": resolver_says(answering("@ 60 A 127.255.255.254")),
    "no spool, no records": no_spool,
    "no descriptors": no_descriptors,
    "clocks jump": clocks_jump,
    "settings are wrong at a reload": broken_settings,
    "all restarted in both orders": restarts_in_both_orders,
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", FAULTS)
def test_sent_is_delivered_and_nothing_is_unchecked(
    mailsystem: MailSystem, fresh: Fresh, name: str
) -> None:
    survives(mailsystem, fresh, FAULTS[name])


@pytest.mark.timeout(240)
def test_a_full_disk_under_dovecot_is_a_delay(mailsystem: MailSystem, fresh: Fresh) -> None:
    """The users of this domain have a small file system of their own, and it fills up."""

    @contextmanager
    def fills_up(_system: MailSystem) -> Iterator[Collection[str]]:
        with disk.full():
            lasts(LONG)
        yield ()

    with Disk(mailsystem.dovecot.folder / "mail" / fresh.domain, owner="mail") as disk:
        survives(mailsystem, fresh, fills_up)
    log = mailsystem.dovecot.log(fresh.domain)
    assert "No space left" in log, log
