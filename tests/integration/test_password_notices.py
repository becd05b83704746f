"""Notices of passwords that end, on the whole system: slapd's rules, the agent, the user's mailbox.

The clock of the job is the test's own but in the test of the daemon itself.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.model.address import Address
from iems.notices import passwords
from iems.notices.passwords import PasswordNotices
from iems.notices.postmaster import Postmaster
from iems.serve.deadline import Deadline
from tests.integration.conftest import Fresh
from tests.integration.directory import tree
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import HOSTNAME, MailSystem
from tests.integration.stack.slapd import BASE
from tests.waiting import eventually

DAY = 86400
LASTS = 20
HELP = "see https://mail.example.test/password"


@dataclass
class Heard:
    """What the job said to the log."""

    lines: list[str] = field(default_factory=list)

    def info(self, text: str, **fields: object) -> None:
        """One line."""
        self.lines.append(f"{text} {fields}")

    warning = info


@dataclass
class Office:
    """The job beside the system, at a time that the test chooses: days after the beginning."""

    system: MailSystem
    file: Path
    rules: str
    begin: float = field(default_factory=time.time)
    heard: Heard = field(default_factory=Heard)

    def user(self, address: str, *lines: str) -> Mailbox:
        """A user whose password ends LASTS days from now."""
        rules = f"pwdPolicySubentry: {self.rules}"
        self.system.slapd.add(tree.user(address, rules, *lines))
        return Mailbox(self.system.dovecot.imap, address, self.system.password(address))

    def run(self, day: float, smtp: str = "") -> None:
        """One run at this day, by a process that has just started."""
        PasswordNotices(
            store=tree.store(self.system.slapd, "agent"),
            file=self.file,
            days=(14, 3, 1),
            how=HELP,
            notifier=Postmaster(
                Address("postmaster", HOSTNAME),
                HOSTNAME,
                smtp or f"127.0.0.1:{self.system.port()}",
            ),
            log=self.heard,
            clock=lambda: self.begin + day * DAY,
        ).run(Deadline.after(60))

    def sent(self) -> list[str]:
        """The lines about what was sent since the last call."""
        lines, self.heard.lines = self.heard.lines, []
        return lines


@contextlib.contextmanager
def rules(system: MailSystem, name: str, seconds: int) -> Iterator[str]:
    """Rules under which passwords end, for whose entries name them."""
    dn = f"cn={name},ou=passwords,{BASE}"
    system.slapd.add(
        f"dn: {dn}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: {name}\n"
        f"pwdAttribute: userPassword\npwdMaxAge: {seconds}\n"
    )
    yield dn
    system.slapd.delete(dn)


@pytest.fixture
def office(mailsystem: MailSystem, fresh: Fresh, tmp_path: Path) -> Iterator[Office]:
    """The job with a domain and rules of this test's own."""
    mailsystem.add_domain(fresh.domain)
    with rules(mailsystem, fresh.domain, LASTS * DAY) as dn:
        yield Office(mailsystem, tmp_path / "told.sqlite", dn)
    mailsystem.slapd.delete(f"iemsDomainName={fresh.domain},ou=domains,{BASE}")


def test_each_notice_once_at_its_time(office: Office, fresh: Fresh) -> None:
    """At 14, 3 and 1 days before the end and at no other time, whenever a process starts anew."""
    box = office.user(fresh.address("first"))
    came = []
    for day in (0, 5, 6.1, 6.2, 7.2, 16, 17.1, 17.2, 18.5, 19.1, 19.9, 20.1, 21, 40):
        office.run(day)
        came += [day] * len(office.sent())
    assert came == [6.1, 17.1, 19.1]
    notices = box.wait(3)
    office.system.postfix.wait_empty()
    assert len(box.wait(3)) == 3
    seen = email.message_from_bytes(notices[0], policy=email.policy.default)
    # The user came some seconds after the beginning, perhaps in the next hour.
    hours = {
        time.strftime("%Y-%m-%d %H:", time.gmtime(office.begin + LASTS * DAY + later))
        for later in (0, 300)
    }
    assert seen["To"] == box.user
    assert seen["From"] == f"IEMS <postmaster@{HOSTNAME}>"
    assert seen["Return-Path"] == "<>"
    assert seen["Auto-Submitted"] == "auto-generated"
    assert any(hour in seen["Subject"] for hour in hours)
    assert HELP in seen.get_content()


def test_what_was_missed_is_one_notice_and_none_follows_within_a_day(
    office: Office, fresh: Fresh
) -> None:
    box = office.user(fresh.address("first"))
    came = []
    for day in (18.5, 19.1, 19.4, 19.6):
        office.run(day)
        came += [day] * len(office.sent())
    assert came == [18.5, 19.6]
    box.wait(2)


def test_another_end_has_notices_of_its_own(office: Office, fresh: Fresh) -> None:
    """As after a change of the password; but still one a day."""
    box = office.user(fresh.address("first"))
    office.run(6.1)
    office.system.slapd.modify(
        f"dn: {office.rules}\nchangetype: modify\n"
        f"replace: pwdMaxAge\npwdMaxAge: {(LASTS + 1) * DAY}\n"
    )
    assert len(office.sent()) == 1
    for day, count in ((7.05, 0), (7.2, 1), (8.5, 0)):
        office.run(day)
        assert len(office.sent()) == count
    box.wait(2)


def test_who_takes_no_mail_is_told_through_his_postmaster(office: Office, fresh: Fresh) -> None:
    first = office.user(fresh.address("first"))
    office.run(6.1)
    first.wait(1)
    office.user(fresh.address("printer"), "iemsKind: send-only")
    office.user(fresh.address("gone"), "iemsDisabled: has left")
    office.run(6.1)
    notices = first.wait(2)
    office.system.postfix.wait_empty()
    assert len(first.wait(2)) == 2
    assert sum(fresh.address("printer").encode() in notice for notice in notices) == 1


def test_a_server_that_is_down_delays_a_notice(office: Office, fresh: Fresh) -> None:
    """Directory or mail server: it comes once, with the first run that finds both."""
    box = office.user(fresh.address("first"))
    office.run(6.1, smtp="127.0.0.1:1")
    assert "notice not sent" in office.sent()[0]
    office.system.slapd.stop()
    try:
        office.run(6.11)
    finally:
        office.system.slapd.start()
    assert "wait for the directory" in office.sent()[0]
    for day, count in ((6.12, 1), (6.13, 0)):
        office.run(day)
        assert len(office.sent()) == count
    box.wait(1)


def test_what_is_refused_for_good_is_not_tried_before_the_next_notice(
    office: Office, fresh: Fresh
) -> None:
    """Here the domain has no postmaster who takes mail."""
    office.user(fresh.address("first"), "iemsKind: send-only")
    came = []
    for day in (6.1, 6.2, 17.1, 17.2):
        office.run(day)
        came += [day] * len(office.sent())
    assert came == [6.1, 17.1]


def test_one_run_sends_so_many(
    office: Office, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one the others."""
    monkeypatch.setattr(passwords, "MOST", 3)
    boxes = [office.user(fresh.address(f"u{number}")) for number in range(5)]
    for sent in ("3", "2"):
        office.run(6.1)
        assert office.sent() == [f"notices sent {{'notice': 'password-ends', 'sent': {sent}}}"]
    for box in boxes:
        box.wait(1)


def test_a_mail_server_that_takes_nothing_ends_the_run(office: Office, fresh: Fresh) -> None:
    for number in range(15):
        office.user(fresh.address(f"u{number}"))
    office.run(6.1, smtp="127.0.0.1:1")
    assert len(office.sent()) == 10


def test_the_daemon_writes_to_the_user(mailsystem: MailSystem, fresh: Fresh) -> None:
    """The agent under its own user, with its own rights; a process that starts anew is silent."""
    mailsystem.add_domain(fresh.domain)
    boxes, before = [], len(_sent(mailsystem))
    with rules(mailsystem, fresh.domain, 2 * DAY) as dn:
        for number, local in enumerate(("first", "second"), 1):
            address = fresh.address(local)
            mailsystem.slapd.add(tree.user(address, f"pwdPolicySubentry: {dn}"))
            boxes.append(Mailbox(mailsystem.dovecot.imap, address, mailsystem.password(address)))
            mailsystem.agent.reload()
            [notice] = boxes[-1].wait(1)
            assert f"Subject: The password of {address} ends on ".encode() in notice
            eventually(lambda runs=before + number: len(_sent(mailsystem)) == runs, 20)  # type: ignore[misc]
        mailsystem.postfix.wait_empty()
        assert [len(box.wait(1)) for box in boxes] == [1, 1]
    assert all('sent="2"' not in line for line in _sent(mailsystem)[before:])


def _sent(system: MailSystem) -> list[str]:
    """What each run of the daemon's job said that has sent something."""
    return system.agent.log("notices sent").splitlines()
