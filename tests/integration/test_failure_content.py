"""A content filter that is away, lies, dies and hangs under load: nothing passes unscanned.

A real spamd and a real rspamd, and what lies in their place on their port. Every message holds
words of which the filter's own rules make `spam`, so a message that it has not seen would show.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Mapping

import pytest

from iems.serve.status import resident
from tests.contentfilter import ContentFilter, Serve, answering, request, symbols
from tests.integration.checked import CLIENTS, checking
from tests.integration.stack.faults import hanging
from tests.integration.stack.ground import Ground
from tests.integration.stack.rspamd import Rspamd
from tests.integration.stack.spamd import Spamd
from tests.waiting import eventually

CHECKS = """
[checks.content]
mode = "delegate"
engine = "{engine}"
server = "{server}"
timeout = 0.5
default = {{ spam = "deliver", temperror = "defer" }}
"""
ENGINES: Mapping[str, type[Spamd | Rspamd]] = {"spamd": Spamd, "rspamd": Rspamd}
HUGE = 100_000_000
_MET = 201
"""Messages of a run; a slow filter has seen half of them when it has failed in all ways."""

_GROWTH = 32 << 20
"""Bytes that a process may grow by meanwhile; a whole answer would be three times as much."""


def message(token: str) -> bytes:
    return f"Subject: token {token}\r\n\r\ncasino and lottery\r\n".encode()


def huge(head: bytes) -> Serve:
    """An answer of 100 MB, as long as it says."""

    def serve(link: socket.socket, _over: threading.Event) -> None:
        request(link)
        link.sendall(head)
        for _piece in range(HUGE // 10_000):
            link.sendall(b"A" * 10_000)

    return serve


def silent(link: socket.socket, over: threading.Event) -> None:
    request(link)
    over.wait(10)


def http(body: bytes, length: int = -1) -> bytes:
    size = len(body) if length < 0 else length
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (size, body)


CLEAN = http(b'{"score": 0.1, "symbols": {}}')
LIES: Mapping[str, Mapping[str, tuple[Serve, str]]] = {
    "spamd": {
        "noise": (answering(b"\0\xff" * 5000), "an answer that is not whole"),
        "no answer": (answering(b""), "closes the connection without an answer"),
        "another protocol": (answering(CLEAN), "does not speak the protocol of spamd"),
        "error": (
            answering(b"SPAMD/1.1 74 EX_IOERR\r\nContent-length: 0\r\n\r\n"),
            "answers with error 74",
        ),
        "truncated head": (answering(symbols("0.1")[:40]), "an answer that is not whole"),
        "truncated": (answering(symbols("0.1", "A_RULE")[:-1]), "an answer that is not whole"),
        "100 MB": (
            huge(b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: False ; 0 / 5\r\n\r\n" % HUGE),
            "an answer of more than",
        ),
        "silence": (silent, "no answer in time"),
    },
    "rspamd": {
        "noise": (answering(b"\0\xff" * 5000), "an answer that is not whole"),
        "no answer": (answering(b""), "closes the connection without an answer"),
        "another protocol": (answering(symbols("0.1")), "does not speak the protocol of rspamd"),
        "error": (answering(CLEAN.replace(b"200", b"500")), "answers with error 500"),
        "no score": (answering(http(b'{"symbols": {}}')), "tells no score"),
        "no JSON": (answering(http(b"pang")), "answers with no JSON"),
        "truncated head": (answering(CLEAN[:30]), "an answer that is not whole"),
        "truncated": (answering(CLEAN[:-1]), "an answer that is not whole"),
        "100 MB": (
            huge(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE),
            "an answer of more than",
        ),
        "silence": (silent, "no answer in time"),
    },
}


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("engine", "least"), [("spamd", 1), ("rspamd", 0)])
def test_nothing_passes_unscanned_and_postmaster_is_told_once(
    ground: Ground, engine: str, least: int
) -> None:
    """At the second look, that is after 15 seconds; of one of the two it is waited for."""
    scanner = ENGINES[engine](ground)
    checks = CHECKS.format(engine=engine, server=scanner.address)
    with checking(ground, f"f{engine}", checks, message) as (world, postfix):
        # A busy machine may have no time for a message that waits for its turn.
        world.expected.append("450 4.7.1 the content filter ")
        world.delays("the content filter cannot be asked")
        held = {pid: resident(pid) for pid in world.milter.workers()}
        for serve, told in LIES[engine].values():
            with ContentFilter(serve, scanner.port) as lying:
                world.delays(told)
                assert lying.asked
        assert world.load.count == 0
        assert {pid for pid in held if resident(pid) - held[pid] > _GROWTH} == set()
        eventually(lambda: len(world.notices()) >= least, 40, world.milter.log)
        try:
            scanner.start()
            world.returns()
            scanner.server.kill()
            world.delays("the content filter cannot be asked")
            scanner.start()
            world.returns()
            with hanging(scanner.server):
                world.delays("no answer in time")
            met = world.load.count + len(world.load.delayed)
            world.returns(max(2 * CLIENTS, _MET - met), within=60)
            found = world.finish(postfix)
        finally:
            scanner.stop()
    assert found == list(itertools.repeat({"content": "spam"}, len(found)))
    assert len(found) + len(world.load.delayed) >= _MET
    notices = world.notices()
    assert least <= len(notices) <= 1
    assert all(b"\r\n  content: " in one.message for one in notices)
