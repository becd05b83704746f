"""Counters on a real Redis, and what lies in its place: every count ends by its deadline."""

from __future__ import annotations

import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.serve.status import resident
from iems.store import resp
from iems.store.counters import Claim, Counters, CountersError
from iems.store.counterserver import CounterServer
from iems.store.resp import LONGEST, Login, Resp
from tests.conftest import ROOT
from tests.contentfilter import ContentFilter, Serve
from tests.counting import LONG, Clock, CountersContract, Store, soon
from tests.integration.stack.faults import hanging
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.redis import Redis
from tests.waiting import eventually

_LATE = 5.0
"""Seconds that a busy machine may need beyond a deadline."""

_GROWTH = 32 << 20
"""Bytes that the process may grow by; a whole answer of 100 MB would be three times as much."""

_PREFIXES = (f"test{number}:" for number in itertools.count())


def counting(
    address: str, login: Login | None = None, clock: Clock | None = None, prefix: str = ""
) -> CounterServer:
    """Counters of that server, with a prefix of their own unless one is given."""
    server = Resp(Server.parse(address), login or Login())
    return CounterServer(server, address, prefix or next(_PREFIXES), clock=clock)


@pytest.fixture(scope="module")
def redis(ground: Ground) -> Iterator[Redis]:
    with running(Redis(ground)) as server:
        yield server


@pytest.fixture
def counters(redis: Redis) -> Iterator[CounterServer]:
    with closing(counting(redis.address)) as one:
        yield one


def refused(counters: Counters, seconds: float = LONG) -> str:
    """Why nothing is counted, told by the deadline; the connections are closed."""
    began = time.monotonic()
    with closing(counters), pytest.raises(CountersError) as caught:
        counters.take([Claim("a", 3600.0, 5)], Deadline.after(seconds))
    assert time.monotonic() - began < seconds + _LATE
    return str(caught.value)


@pytest.fixture(scope="module", params=["unix", "inet"])
def store(redis: Redis, request: pytest.FixtureRequest) -> Store:
    address = redis.address if request.param == "unix" else redis.inet

    @contextmanager
    def made(clock: Clock) -> Iterator[CounterServer]:
        with closing(counting(address, clock=clock)) as one:
            yield one

    return made


class TestCounterServer(CountersContract):
    """It does what all counters do."""


def test_all_who_count_at_once_count_as_one(redis: Redis) -> None:
    """Four that know nothing of each other, and the threads of one."""
    prefix = next(_PREFIXES)
    both = [Claim("a", 3600.0, 500), Claim("b", 7200.0, 10_000)]

    def count(_number: int) -> int:
        with closing(counting(redis.address, prefix=prefix)) as one:
            return sum(one.take(both, soon()) == (0.0, 0.0) for _ in range(150))

    with ThreadPoolExecutor(32) as pool, closing(counting(redis.address, prefix=prefix)) as one:
        assert sum(pool.map(count, range(4))) == 500
        assert [one.peek(claim.key, claim.window, soon()) for claim in both] == [500, 500]
        told = list(pool.map(lambda _: one.add("c", 1, 3600.0, soon()), range(400)))
    assert sorted(told) == list(range(1, 401))


def test_the_clock_is_the_server_s(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = next(_PREFIXES)
    with closing(counting(redis.address, prefix=prefix)) as counters:
        counters.add("a", 3, 60.0, soon())
        monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
        assert counters.add("a", 1, 60.0, soon()) == 4
        began = time.time_ns() / 1e9
        counters.hold("bob", "too many", soon())
        [bob] = counters.held(soon())
    assert abs(bob.since - began) < LONG


def test_a_restart_without_its_memory_begins_anew_and_the_script_is_told_again(
    ground: Ground,
) -> None:
    with running(Redis(ground)) as server, closing(counting(server.address)) as counters:
        assert counters.add("a", 3, 3600.0, soon()) == 3
        server.server.kill()
        assert "cannot be asked: " in refused(counters)
        server.start()
        assert counters.add("a", 1, 3600.0, soon()) == 1
        server.ask("SCRIPT", "FLUSH")
        assert counters.add("a", 1, 3600.0, soon()) == 2


def test_what_the_server_keeps_on_disk_outlives_it(ground: Ground) -> None:
    kept = Redis(ground, "appendonly yes\nappendfsync always")
    with running(kept) as server, closing(counting(server.address)) as counters:
        counters.add("a", 3, 3600.0, soon())
        counters.hold("bob", "too many", soon())
        server.server.kill()
        server.start()
        assert counters.add("a", 1, 3600.0, soon()) == 4
        assert counters.is_held("bob", soon())


def test_keys_name_nobody_and_expire_and_holds_do_not(redis: Redis) -> None:
    prefix = next(_PREFIXES)
    with closing(counting(redis.address, prefix=prefix)) as counters:
        counters.add("flow users alice@example.test", 1, 60.0, soon())
        counters.add("flow users alice@example.test", 1, 3600.0, soon())
        counters.add("flow users alice@example.test", 1, 60.0, soon())
        [key] = _keys(redis, f"{prefix}*")
        assert key.startswith(f"{prefix}count:")
        assert "alice" not in key
        assert 3600_000 - LONG * 1000 < int(redis.ask("PTTL", key)[1:]) <= 3960_000
        counters.hold("bob@example.test", "too many", soon())
        assert redis.ask("PTTL", f"{prefix}held") == ":-1\r\n"


def _keys(redis: Redis, pattern: str) -> list[str]:
    return redis.ask("KEYS", pattern).split("\r\n")[2::2]


def test_a_count_goes_with_its_window(redis: Redis) -> None:
    prefix = next(_PREFIXES)
    with closing(counting(redis.address, prefix=prefix)) as counters:
        counters.add("a", 1, 0.05, soon())
        eventually(lambda: not _keys(redis, f"{prefix}count:*"), LONG)


def test_who_logs_in_needs_no_more_than_the_page_says(ground: Ground) -> None:
    page = (ROOT / "docs/checks/flow.md").read_text()
    [rights] = re.findall(r"^user iems on >PASSWORD (resetchannels .*)$", page, re.MULTILINE)
    lines = f"user default off\nuser iems on >secret {rights}"
    with running(Redis(ground, lines)) as server:
        good = counting(server.address, Login("iems", "secret"), prefix="iems:")
        with closing(good) as counters:
            assert counters.take([Claim("a", 60.0, 5)], soon()) == (0.0,)
            assert counters.hold("bob", "w", soon())
            assert [one.user for one in counters.held(soon())] == ["bob"]
            counters.tell(counters.held(soon())[0], soon())
            assert counters.release("bob", ["a"], soon())
            assert counters.unavailable(soon()) == ""
        assert "NOPERM" in refused(counting(server.address, Login("iems", "secret"), prefix="x:"))
        assert refused(counting(server.address)).endswith("NOAUTH Authentication required.")
        wrong = refused(counting(server.address, Login("iems", "wrong")))
        assert wrong.endswith(": takes no login: WRONGPASS")


@pytest.mark.parametrize("missing", ["hexists", "hgetall"])
def test_who_may_count_and_not_see_who_is_held_is_told(ground: Ground, missing: str) -> None:
    """Otherwise it stays unknown until somebody who is held goes on sending."""
    rights = Redis(ground, f"user default on nopass ~* +@all -{missing}")
    with running(rights) as server, closing(counting(server.address)) as counters:
        assert "NOPERM" in counters.unavailable(soon())


def test_no_error_shows_the_password(ground: Ground) -> None:
    """A server that knows no AUTH repeats the words that it was sent."""
    with running(Redis(ground, 'rename-command AUTH ""')) as server:
        assert "secret" in server.ask("AUTH", "iems", "secret")
        why = refused(counting(server.address, Login("iems", "secret")))
    assert why.endswith(": takes no login: ERR")
    assert "secret" not in repr(Login("iems", "secret"))


def test_a_replica_and_a_full_server_count_nothing(redis: Redis, ground: Ground) -> None:
    copy = Redis(ground, f"replicaof 127.0.0.1 {redis.port}")
    with running(copy) as replica, closing(counting(replica.address)) as counters:
        assert "READONLY" in counters.unavailable(soon())
    with running(Redis(ground, "maxmemory-policy noeviction")) as full:
        full.ask("CONFIG", "SET", "maxmemory", "1")
        assert "OOM" in refused(counting(full.address))


def test_where_memory_ends_counts_go_and_holds_stay(ground: Ground) -> None:
    settings = "maxmemory-policy volatile-ttl"
    with running(Redis(ground, settings)) as server, closing(counting(server.address)) as counters:
        counters.hold("bob", "too many", soon())
        [used] = re.findall(r"used_memory:(\d+)", server.ask("INFO", "memory"))
        server.ask("CONFIG", "SET", "maxmemory", str(int(used) + (1 << 20)))
        for number in range(600):
            counters.take([Claim(f"{number} {n}", 3600.0, 5) for n in range(10)], soon())
        assert 0 < int(server.ask("DBSIZE")[1:]) < 6000
        assert counters.is_held("bob", soon())


def test_a_server_that_hangs_is_left_alone_for_a_while(
    redis: Redis, counters: CounterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters.add("a", 1, 3600.0, soon())
    with hanging(redis.server):
        assert refused(counters, 0.3).endswith("gives no answer in time")
        assert refused(counters).endswith("was silent, and is asked again within 5 s")
        moment = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: moment() + resp.REST)
        assert refused(counters, 0.3).endswith("gives no answer in time")
    monkeypatch.setattr(time, "monotonic", lambda: moment() + 2 * resp.REST)
    assert counters.peek("a", 3600.0, soon()) >= 1


def test_who_has_no_time_left_puts_no_server_aside(counters: CounterServer) -> None:
    assert refused(counters, 0).endswith("no time is left")
    assert counters.add("a", 1, 60.0, soon()) == 1


def answering(answer: bytes) -> Serve:
    def serve(link: socket.socket, _over: threading.Event) -> None:
        while link.recv(65536):
            link.sendall(answer)

    return serve


def dripping(link: socket.socket, over: threading.Event) -> None:
    """A byte each 50 ms, each long before any time-out of a single read."""
    link.sendall(b"$1000\r\n")
    while not over.wait(0.05):
        link.sendall(b"x")


def endless(link: socket.socket, over: threading.Event) -> None:
    """Never the end of a line."""
    for _ in range(100):
        if not over.is_set():
            link.sendall(b"+" * 1_000_000)


def huge(link: socket.socket, _over: threading.Event) -> None:
    """An answer of 100 MB in pieces that are each allowed."""
    link.sendall(b"*100\r\n")
    for _ in range(100):
        link.sendall(b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n")


TOO_LONG = f"gives an answer of more than {LONGEST} bytes"
STRANGE = "answers what no script of ours does"
NO_RESP = "does not speak RESP"


@pytest.mark.parametrize(
    ("serve", "seconds", "why"),
    [
        (lambda _link, over: over.wait(10), 0.3, "gives no answer in time"),
        (dripping, 0.3, "gives no answer in time"),
        (endless, LONG, TOO_LONG),
        (huge, LONG, TOO_LONG),
        (answering(b"$100000000\r\n"), LONG, TOO_LONG),
        (answering(b"*100000000\r\n"), LONG, TOO_LONG),
        (answering(b"*1\r\n" * 1000), LONG, NO_RESP),
        (answering(b"\0\xff" * 500 + b"\r\n"), LONG, NO_RESP),
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), LONG, NO_RESP),
        (answering(b":1_0\r\n"), LONG, NO_RESP),
        (answering(b"$-2\r\n"), LONG, TOO_LONG),
        (answering(b"$1\r\nxyz\r\n"), LONG, NO_RESP),
        (answering(b"+OK\r\n"), LONG, STRANGE),
        (answering(b"$-1\r\n"), LONG, STRANGE),
        (answering(b"*0\r\n"), LONG, STRANGE),
        (answering(b"*1\r\n$3\r\nnan\r\n"), LONG, STRANGE),
        (answering(b"*1\r\n$2\r\n-1\r\n"), LONG, STRANGE),
        (answering(b"*1\r\n*1\r\n:0\r\n"), LONG, STRANGE),
        (answering(b"*1\r\n$1\r\n0\r\n:5\r\n"), LONG, "says more than it was asked"),
        (answering(b"*1\r\n-ERR inner\r\n"), LONG, "ERR inner"),
        (answering(b"-NOSCRIPT none\r\n"), LONG, "NOSCRIPT none"),
        (answering(b"-ERR \x1b[2J\n%s" + b"x" * 5000 + b"\r\n"), LONG, "xxx..."),
    ],
)
def test_what_lies(serve: Serve, seconds: float, why: str) -> None:
    before = resident(os.getpid())
    with ContentFilter(serve) as lying, closing(counting(lying.address)) as counters:
        told = refused(counters, seconds)
    assert told.endswith(why)
    assert told.isprintable()
    assert len(told) < 400
    assert resident(os.getpid()) - before < _GROWTH


def test_a_connection_that_says_something_between_is_not_used_again() -> None:
    said, connections = threading.Event(), itertools.count(1)

    def serve(link: socket.socket, _over: threading.Event) -> None:
        link.recv(65536)
        link.sendall(b"$1\r\n7\r\n")
        if next(connections) == 1:
            said.wait(10)
            link.sendall(b"$1\r\n9\r\n")
        link.recv(65536)

    with ContentFilter(serve) as lying, closing(counting(lying.address)) as counters:
        assert counters.peek("a", 60.0, soon()) == 7
        [link] = counters._server._idle
        said.set()
        link.settimeout(LONG)
        link.recv(1, socket.MSG_PEEK)
        assert counters.peek("a", 60.0, soon()) == 7
        assert lying.asked == 2


@pytest.mark.parametrize("since", ["nan", "inf", "-1", "1e30"])
def test_a_hold_of_no_time_is_told_and_no_fault_of_ours(redis: Redis, since: str) -> None:
    prefix = next(_PREFIXES)
    redis.ask("HSET", f"{prefix}held", "bob", f'"{since} 0 why"')
    with (
        closing(counting(redis.address, prefix=prefix)) as counters,
        pytest.raises(CountersError, match=STRANGE),
    ):
        counters.held(soon())


HELD: tuple[Callable[[CounterServer], object], ...] = (
    lambda one: one.held(soon()),
    lambda one: one.hold("a", "b", soon()),
    lambda one: one.is_held("a", soon()),
    lambda one: one.release("a", ["b"], soon()),
    lambda one: one.peek("a", 1.0, soon()),
)


@pytest.mark.parametrize("ask", HELD)
@pytest.mark.parametrize(
    "answer", [b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*1\r\n:1\r\n", b":7\r\n", b"*-1\r\n"]
)
def test_what_lies_about_holds(ask: Callable[[CounterServer], object], answer: bytes) -> None:
    with (
        ContentFilter(answering(answer)) as lying,
        closing(counting(lying.address)) as counters,
        pytest.raises(CountersError, match=STRANGE),
    ):
        ask(counters)
