"""The health of real lists: set aside, told to postmaster by mail, and back by itself."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from pathlib import Path

import pytest

from iems.dns.servers import Server
from iems.dns.stub import StubResolver
from iems.model.address import Address
from iems.notices.postmaster import NoticeError, Postmaster
from iems.serve.deadline import Deadline
from milters.checks import dnsbl
from milters.checks.guard import Guard, published
from milters.checks.health import HealthTest
from tests.integration.conftest import BLACKLISTS, Fresh
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.postfix import Postfix
from tests.integration.stack.rbldnsd import Rbldnsd
from tests.waiting import eventually

LISTS = {zone.partition(".")[0]: zone for zone in BLACKLISTS}


class Log:
    """Where the job writes its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str, **fields: object) -> None:
        """One line."""
        self.lines.append(f"{text} {fields}")


def test_a_sick_list_is_set_aside_with_one_mail_and_comes_back(
    rbldnsd: Rbldnsd, postfix: Postfix, dovecot: Dovecot, fresh: Fresh, tmp_path: Path
) -> None:
    box = dovecot.add_user(fresh.address("postmaster"))
    file, log = tmp_path / "health.json", Log()
    stub = StubResolver([Server("127.0.0.1", rbldnsd.port)], 5, cache=0)
    postmaster = Postmaster(Address.parse(box.user), "mail.box.test", f"127.0.0.1:{postfix.port()}")
    settings = {label: dnsbl.parse({"zone": zone}, label) for label, zone in LISTS.items()}
    job = HealthTest(settings, stub, file, postmaster, log)
    guard = Guard(file)

    def run(rounds: int = 1) -> None:
        for _ in range(rounds):
            job.run(Deadline.after(20))

    try:
        run()
        assert not any(one.aside for one in published(file).values())
        rbldnsd.test_entries(LISTS["third"], there=False)
        try:
            run(3)
            eventually(lambda: guard.reason("third", "ipv4"), 5)
            assert guard.reason("third", "ipv6")
            assert not guard.reason("fourth", "ipv4")
            (notice,) = box.wait()
        finally:
            rbldnsd.test_entries(LISTS["third"], there=True)
        run()
        eventually(lambda: not guard.reason("third", "ipv4"), 5)
        assert not guard.reason("third", "ipv6")
    finally:
        stub.close()
    postfix.wait_empty()
    box.wait(1)
    seen = email.message_from_bytes(notice, policy=email.policy.default)
    assert "third (ipv4)" in notice.decode()
    assert LISTS["third"] not in notice.decode() + file.read_text() + "".join(log.lines)
    assert seen["Auto-Submitted"] == "auto-generated"
    assert seen["Return-Path"] == "<>"
    assert seen["To"] == box.user


def test_a_list_that_is_gone_is_set_aside_at_the_second_silence(
    rbldnsd: Rbldnsd, tmp_path: Path
) -> None:
    stub = StubResolver([Server("127.0.0.1", rbldnsd.port)], 0.3, cache=0)
    settings = {label: dnsbl.parse({"zone": zone}, label) for label, zone in LISTS.items()}
    notices: list[str] = []
    job = HealthTest(settings, stub, tmp_path / "h.json", _Mute(notices.append), Log())
    rbldnsd.pause()
    try:
        job.run(Deadline.after(5))
        assert not any(one.aside for one in published(tmp_path / "h.json").values())
        job.run(Deadline.after(5))
    finally:
        rbldnsd.resume()
        stub.close()
    assert all(len(one.aside) == 2 for one in published(tmp_path / "h.json").values())
    assert len(notices) == 1


class _Mute:
    """Somebody who is told and sends no mail."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def notify(self, name: str, **values: str) -> None:  # noqa: ARG002 - the protocol's signature
        """Hear of it."""
        self._tell(values["lists"])


def test_a_mail_server_that_is_not_there_or_refuses_is_a_notice_error(
    postfix: Postfix, fresh: Fresh
) -> None:
    for smtp, local in (("127.0.0.1:1", "a"), (f"127.0.0.1:{postfix.port()}", "unknown")):
        postmaster = Postmaster(Address.parse(fresh.address(local)), "mail.box.test", smtp)
        with pytest.raises(NoticeError, match=smtp):
            postmaster.notify("lists-aside", lists="x")
