"""The check `rhsbl` and its health against a real list of names, rbldnsd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iems.dns.servers import Server
from iems.dns.stub import StubResolver
from iems.model.address import Address
from iems.model.envelope import INTERNET, Client
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from milters.checks import health, rhsbl
from milters.checks.protocol import Tools, View
from tests.integration.conftest import BLACKLISTS, Fresh
from tests.integration.stack.rbldnsd import Rbldnsd

SITE = from_table({"version": 1, "hostname": "mail.box.test", "postmaster": "postmaster@box.test"})
ZONE = BLACKLISTS[0]
SETTINGS = rhsbl.parse({"zone": ZONE}, "checks.rhsbl.names")


@pytest.fixture
def stub(rbldnsd: Rbldnsd) -> Iterator[StubResolver]:
    """A stub that asks rbldnsd and keeps nothing."""
    stub = StubResolver([Server("127.0.0.1", rbldnsd.port)], 5.0, cache=0)
    yield stub
    stub.close()


def test_the_name_of_a_client_and_the_domain_of_a_sender_are_looked_up(
    rbldnsd: Rbldnsd, stub: StubResolver, fresh: Fresh, tmp_path: Path
) -> None:
    checks = rhsbl.make("names", SETTINGS, Tools.within(SITE, stub, tmp_path))
    sender = Address("a", f"sender.{fresh.domain}")
    view = View(Client(fresh.ip), f"mx.{fresh.domain}", INTERNET, "", sender, None)

    def findings() -> list[Finding]:
        pendings = [check.start(view, Deadline.after(20)) for check in checks]
        return [finding for pending in pendings for finding in pending.result()]

    assert [one.outcome for one in findings()] == ["clear", "clear"]
    for number, listed in enumerate((view.helo, sender.domain)):
        rbldnsd.list(ZONE, listed)
        try:
            assert [one.outcome for one in findings()].index("listed") == number
            assert listed in findings()[number].reason
        finally:
            rbldnsd.delist(ZONE, listed)


def test_a_list_of_names_has_test_entries_of_its_own(rbldnsd: Rbldnsd, stub: StubResolver) -> None:
    def wrong() -> str:
        (one,) = health.tested({"rhsbl/names": SETTINGS}, stub, Deadline.after(20))
        return one.wrong

    assert wrong() == ""
    rbldnsd.list(ZONE, "invalid")
    try:
        assert "invalid is listed" in wrong()
    finally:
        rbldnsd.delist(ZONE, "invalid")
    rbldnsd.test_entries(ZONE, there=False)
    try:
        assert "test entry test is not listed" in wrong()
    finally:
        rbldnsd.test_entries(ZONE, there=True)
