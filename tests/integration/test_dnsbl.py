"""The check `dnsbl` against real lists: rbldnsd, asked directly and through unbound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iems.dns.servers import Server
from iems.dns.stub import StubResolver
from iems.model.envelope import INTERNET, Client
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.store.counterfile import CounterFile
from milters.checks import dnsbl
from milters.checks.guard import Guard
from milters.checks.protocol import Check, Pending, Stage, Tools, View
from tests.integration.conftest import BLACKLISTS, Fresh
from tests.integration.dns_fake import answering, fake, silent
from tests.integration.stack.rbldnsd import Asked, Rbldnsd, reverse
from tests.integration.stack.unbound import Unbound
from tests.waiting import eventually

SITE = from_table({"version": 1, "hostname": "mail.box.test", "postmaster": "postmaster@box.test"})
COUNTERS = CounterFile(Path("unused.sqlite"))
ZONE = BLACKLISTS[0]


@contextmanager
def resolver(port: int, timeout: float = 5.0) -> Iterator[StubResolver]:
    """A stub that asks the server on this port."""
    stub = StubResolver([Server("127.0.0.1", port)], timeout, cache=0)
    try:
        yield stub
    finally:
        stub.close()


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """A guard that holds nothing against any list."""
    return Guard(tmp_path / "health.json")


def check(stub: StubResolver, guard: Guard, zone: str = ZONE) -> Check:
    """The check of one zone, its label the zone's first word."""
    label = zone.partition(".")[0]
    settings = dnsbl.parse({"zone": zone}, f"checks.dnsbl.{label}")
    (one,) = dnsbl.make(
        label, settings, Tools(SITE, stub, guard, CounterFile(Path("counters.sqlite")))
    )
    assert one.stage is Stage.CONNECT
    return one


def start(one: Check, ip: str, seconds: float = 20) -> Pending:
    """The check under way for a client."""
    view = View(Client(ip), "", INTERNET, "", None, None)
    return one.start(view, Deadline.after(seconds))


def finding(one: Check, ip: str, seconds: float = 20) -> Finding:
    """What it says of a client."""
    (found,) = start(one, ip, seconds).result()
    return found


@pytest.mark.parametrize("through", ["rbldnsd", "unbound"])
def test_listed_clear_and_error_for_both_families(
    through: str, rbldnsd: Rbldnsd, unbound: Unbound, fresh: Fresh, guard: Guard
) -> None:
    port = rbldnsd.port if through == "rbldnsd" else unbound.port
    with resolver(port) as stub:
        one = check(stub, guard)
        assert finding(one, "198.18.255.1").outcome == "clear"
        for ip in (fresh.ip, fresh.ip6):
            rbldnsd.list(ZONE, ip, "127.0.0.4", "see https://list.test/why")
            listed = finding(one, ip)
            assert (listed.outcome, listed.band) == ("listed", "listed")
            assert ("answers", "127.0.0.4") in listed.evidence
            rbldnsd.delist(ZONE, ip)
        rbldnsd.list(ZONE, fresh.ip, "127.255.255.254")
        eventually(lambda: finding(one, fresh.ip).outcome == "error", 10)
        assert finding(one, fresh.ip).band == "temperror"


def test_the_list_s_own_text_is_evidence_when_it_came_in_time(
    rbldnsd: Rbldnsd, fresh: Fresh, guard: Guard
) -> None:
    rbldnsd.list(ZONE, fresh.ip, text=f"{fresh.ip} is on {ZONE}")
    name = f"{reverse(fresh.ip)}.{ZONE}"
    with resolver(rbldnsd.port) as stub:
        pending = start(check(stub, guard), fresh.ip)
        eventually(lambda: Asked(name, "TXT") in rbldnsd.asked(name), 10)
        # The server answers in order: when it has answered this, it has answered the other.
        stub.ask(f"2.0.0.127.{ZONE}", "A").result(Deadline.after(10))
        (listed,) = pending.result()
    assert ("text", f"{fresh.ip} is on enforced") in listed.evidence


def test_all_questions_leave_before_any_answer_and_wait_together(
    rbldnsd: Rbldnsd, fresh: Fresh, guard: Guard
) -> None:
    with resolver(rbldnsd.port, timeout=20) as stub:
        checks = [check(stub, guard, zone) for zone in BLACKLISTS]
        rbldnsd.pause()
        try:
            began = time.monotonic()
            pendings = [start(one, fresh.ip) for one in checks]
            assert time.monotonic() - began < 15, "an answer is waited for 20 s"
        finally:
            rbldnsd.resume()
        assert [one.result()[0].outcome for one in pendings] == ["clear"] * 4


def test_a_list_that_hangs_costs_one_deadline_and_then_rests(
    rbldnsd: Rbldnsd, fresh: Fresh, guard: Guard
) -> None:
    with resolver(rbldnsd.port, timeout=1) as stub:
        checks = [check(stub, guard, zone) for zone in BLACKLISTS]
        rbldnsd.pause()
        try:
            for _message in range(3):
                began = time.monotonic()
                pendings = [start(one, fresh.ip, 1) for one in checks]
                assert {one.result()[0].outcome for one in pendings} == {"timeout"}
                assert time.monotonic() - began < 3.5, "one after the other they take 4 s"
            began = time.monotonic()
            found = [finding(one, fresh.ip, 1) for one in checks]
            assert {(one.outcome, one.band) for one in found} == {("aside", "temperror")}
            assert time.monotonic() - began < 3, "none was asked: one after the other they take 4 s"
        finally:
            rbldnsd.resume()


def test_a_resolver_that_lies_or_hangs_lists_nobody(guard: Guard, fresh: Fresh) -> None:
    lie = answering("@ 60 A 127.0.0.2")

    def wrong_id(query: bytes) -> list[bytes]:
        (message,) = lie(query)
        return [bytes([message[0] ^ 1, *message[1:]])]

    for reply in (silent, wrong_id):
        with fake(reply) as server, resolver(server.port, timeout=0.3) as stub:
            assert finding(check(stub, guard), fresh.ip).outcome == "timeout"
    with (
        fake(answering("@ 60 A 203.0.113.80")) as portal,
        resolver(portal.port) as stub,
    ):
        assert finding(check(stub, guard), fresh.ip).outcome == "error"
