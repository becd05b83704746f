"""One load, one fault after another: sent = delivered + refused for now, and nothing unchecked.

Eight clients send numbered messages to a real Postfix; in the middle something that the system
stands on fails for some seconds and comes back. A client that is told 4xx tries again. At the end
every message that was answered 250 is in its mailbox once, no message was refused for good, and of
each the milter's findings, one for every check, reached the agent: none was let through unchecked.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.integration.conftest import Fresh
from tests.integration.dns_fake import Reply, answering, fake, silent
from tests.integration.numbered import Load, Way, broken_deliveries, tokens
from tests.integration.stack.clock import Clock
from tests.integration.stack.daemons import Daemon
from tests.integration.stack.faults import Hanging, closed, hanging, locked
from tests.integration.stack.ground import Startable, owned
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.programs import run
from tests.waiting import eventually

Fault: TypeAlias = Callable[[MailSystem], AbstractContextManager[None]]

MESSAGES, CLIENTS = 120, 8
LONG = 3.0
"""Seconds that a fault lasts: workers, Postfix and their connections all meet it."""

HOUR = 3600
BEYOND = 7.0
"""Longer than the 5 s that directory and resolver have to answer."""

CHECKS = {"iprev", "dnsbl/enforced", "dnsbl/delegated"}
TRUNCATED = 0x0200
"""The TC bit (RFC 1035 section 4.1.1)."""


def lasts(seconds: float) -> None:
    """Let the fault go on for so long."""
    threading.Event().wait(seconds)


def away(name: str, seconds: float = LONG) -> Fault:
    """A server is stopped and started again."""

    @contextmanager
    def fault(system: MailSystem) -> Iterator[None]:
        server: Startable = getattr(system, name)
        server.stop()
        try:
            lasts(seconds)
        finally:
            server.start()
        yield

    return fault


def hung(name: str, seconds: float = BEYOND) -> Fault:
    """A server accepts and says nothing."""

    @contextmanager
    def fault(system: MailSystem) -> Iterator[None]:
        server: Hanging = getattr(system, name)
        with hanging(server):
            lasts(seconds)
        yield

    return fault


def slow(name: str) -> Fault:
    """A server that works for a tenth of the time."""

    @contextmanager
    def fault(system: MailSystem) -> Iterator[None]:
        server: Hanging = getattr(system, name)
        for _pause in range(6):
            with hanging(server):
                lasts(0.9)
            lasts(0.1)
        yield

    return fault


@contextmanager
def nonsense_from_the_directory(system: MailSystem) -> Iterator[None]:
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
    yield


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
    def fault(system: MailSystem) -> Iterator[None]:
        system.resolver.stop()
        try:
            with fake(reply, tcp, system.resolver.port, source):
                lasts(BEYOND)
        finally:
            system.resolver.start()
        yield

    return fault


_lie = answering("@ 60 A 127.0.0.2")
"""Everybody is on every list: who believes it refuses all mail, for one list is enforced."""


def _with_another_id(query: bytes) -> list[bytes]:
    return [bytes([query[0] ^ 0xFF, query[1]]) + answer[2:] for answer in _lie(query)]


def _of_another_question(query: bytes) -> list[bytes]:
    return [answer.replace(b"\x02bl\x04test", b"\x02bl\x04else") for answer in _lie(query)]


@contextmanager
def mailboxes_take_nothing(system: MailSystem) -> Iterator[None]:
    """Dovecot cannot write where the mail is."""
    folder = Path(system.dovecot.folder) / "mail"
    before = folder.stat()
    owned(folder, "root", "root", 0o700)
    try:
        lasts(LONG)
    finally:
        os.chown(folder, before.st_uid, before.st_gid)
        folder.chmod(before.st_mode & 0o7777)
    yield


@contextmanager
def no_descriptors(system: MailSystem) -> Iterator[None]:
    """No process of ours can open anything more."""
    with ExitStack() as stack:
        for daemon in (system.milter, system.agent):
            stack.enter_context(_few_descriptors(daemon))
        lasts(LONG)
    yield


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
def no_spool(system: MailSystem) -> Iterator[None]:
    """The agent's spool and the records of both take nothing."""
    with closed(system.site.agent_state / "spool"), locked(system.site.milter_state):
        lasts(LONG)
    yield


@contextmanager
def broken_settings(system: MailSystem) -> Iterator[None]:
    """Both are told to reload settings that are wrong."""
    file = system.site.write("conf.d/zz-broken.toml", "colour = 3\n")
    for daemon in (system.milter, system.agent):
        daemon.reload()
    lasts(LONG)
    file.unlink()
    yield


@contextmanager
def restarts_in_both_orders(system: MailSystem) -> Iterator[None]:
    """Postfix and our daemons are stopped in both orders, and started in the same."""
    servers: tuple[Startable, ...] = (system.postfix, system.milter, system.agent)
    for order in (servers, servers[::-1]):
        for server in order:
            server.stop()
        for server in order:
            server.start()
    yield


@contextmanager
def clocks_jump(system: MailSystem) -> Iterator[None]:
    """The clock of both daemons goes an hour forward, back, an hour back and forward again."""
    site = system.site
    clocks = [
        Clock(daemon, state / "status.json")
        for daemon, state in ((system.milter, site.milter_state), (system.agent, site.agent_state))
    ]
    with clocks[0].running(), clocks[1].running():
        workers = [daemon.workers() for daemon in (system.milter, system.agent)]
        for seconds in (HOUR, 0, -HOUR, 0):
            for clock in clocks:
                clock.set(seconds)
            for clock in clocks:
                clock.seen(seconds)
            lasts(1.0)
        # Nobody was taken for hung, nobody was told to drain.
        assert [daemon.workers() for daemon in (system.milter, system.agent)] == workers
    yield


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
    system = mailsystem
    system.add_domain(fresh.domain)
    system.lists.list(DELEGATED, fresh.ip)
    box = system.add_user(fresh.address("alice"), "dnsbl/delegated listed choice junk")
    clear, listed = (fresh.ip6, "mx.sender.example"), (fresh.ip, "mx.sender.example")
    ways = [Way(box.user, clear), Way(box.user, listed)]
    with Load(system.port(), lambda number: ways[number % 2], CLIENTS) as load:
        load.more(20)
        with FAULTS[name](system):
            pass
        load.more(max(20, MESSAGES - load.count), within=120)
        load.stop()
    system.postfix.flush()
    system.postfix.wait_empty(90)

    found = tokens([*box.headers(), *box.headers("Junk")])
    sent, delivered = set(load.accepted.queue_ids), set(found)
    assert load.refused == []
    assert sent <= delivered, f"lost: {sent - delivered}"
    assert delivered - sent <= set(load.unanswered), "what was answered 4xx was delivered"
    twice = {load.accepted.queue_ids.get(token) for token, count in found.items() if count > 1}
    unexplained = twice - set(broken_deliveries(system.postfix.log()))
    # Postfix, stopped between a delivery and its own note of it, delivers again.
    assert not unexplained or "restarted" in name, [system.postfix.log(str(one)) for one in twice]

    def unchecked() -> list[str]:
        checked = findings(system)
        return [one for one in load.accepted.queue_ids.values() if checked.get(one) != CHECKS]

    # A record that binds nobody is written a moment later.
    eventually(
        lambda: not unchecked(), 10, lambda: str([findings(system).get(one) for one in unchecked()])
    )
    assert not faulty(system, load.accepted.queue_ids.values())


def findings(system: MailSystem) -> dict[str, set[str]]:
    """Of each message in the milter's records, by queue id, the checks that found something out."""
    rows = _records(system.site.milter_state, "queue_id, details", "action = 'accept'")
    return {
        queue_id: {one["check"] for one in json.loads(details)["findings"]}
        for queue_id, details in rows
    }


def faulty(system: MailSystem, queue_ids: Iterable[str]) -> list[str]:
    """The deliveries of these messages that came without the milter's own findings."""
    wanted = set(queue_ids)
    rows = _records(system.site.agent_state, "queue_id, details", "stage = 'delivery'")
    return [
        queue_id
        for queue_id, details in rows
        if queue_id in wanted and json.loads(details).get("fault")
    ]


def _records(state: Path, columns: str, where: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(state / "records.sqlite")) as records:
        return list(records.execute(f"SELECT {columns} FROM record WHERE {where}"))  # noqa: S608 - constants
