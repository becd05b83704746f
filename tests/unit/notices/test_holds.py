"""Notices of accounts that are held: one for each hold, tried again where mail cannot be sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.notices.holds import HoldNotices
from iems.notices.postmaster import NoticeError, NoticeRefusedError
from iems.serve.deadline import Deadline
from iems.store.counterfile import CounterFile


@dataclass
class Postmaster:
    """Takes notices, or raises what the test says."""

    fault: NoticeError | None = None
    tried: list[str] = field(default_factory=list)

    def notify(self, name: str, **values: str) -> None:
        self.tried.append(f"{name} {values['user']} {values['since']} {values['why']}")
        if self.fault is not None:
            raise self.fault


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)

    def warning(self, text: str, **fields: object) -> None:
        self.lines.append(f"{text} {fields['user']}")


class Office:
    """The job, and what it stands on."""

    def __init__(self, folder: Path) -> None:
        self.counters = CounterFile(folder / "counters.sqlite", lambda: 1_800_000_000.0)
        self.file = folder / "held"
        self.postmaster, self.log = Postmaster(), Log()
        self.notices = HoldNotices(self.counters, self.file, self.postmaster, self.log)

    def hold(self, *users: str) -> None:
        for user in users:
            self.counters.hold(user, "too many", Deadline.after(60))

    def run(self) -> None:
        self.notices.run(Deadline.after(60))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_each_hold_is_told_of_once(office: Office) -> None:
    office.run()
    assert not office.file.exists()
    office.hold("alice", "bob")
    office.run()
    office.run()
    since = "2027-01-15 08:00 UTC"
    assert office.postmaster.tried == [
        f"account-held {user} {since} too many" for user in ("alice", "bob")
    ]
    assert office.log.lines == ["account held alice", "account held bob"]


def test_the_file_is_written_when_somebody_else_is_held_and_then_alone(office: Office) -> None:
    office.hold("alice", "bo\nb")
    office.run()
    since = "1800000000.000000\n"
    assert office.file.read_text() == f"alice {since}bo?b {since}"
    written = office.file.stat().st_mtime_ns
    office.run()
    office.counters.release("alice", [], Deadline.after(60))
    office.run()
    assert office.file.stat().st_mtime_ns == written
    office.hold("carol")
    office.run()
    assert office.file.read_text() == f"bo?b {since}carol {since}"


def test_who_was_told_of_elsewhere_has_his_queue_here_looked_through(office: Office) -> None:
    """By hand, or by another MTA."""
    office.counters.hold("alice", "by hand", Deadline.after(60), told=True)
    office.run()
    assert office.file.read_text().startswith("alice ")
    assert office.postmaster.tried == []


def test_of_two_mtas_one_tells(office: Office, tmp_path: Path) -> None:
    """The other one looks while the notice is under way."""
    other = HoldNotices(office.counters, tmp_path / "other", office.postmaster, office.log)
    office.hold("alice")
    send = office.postmaster.notify

    def notify(name: str, **values: str) -> None:
        send(name, **values)
        office.postmaster.notify = send  # type: ignore[method-assign]
        other.run(Deadline.after(60))

    office.postmaster.notify = notify  # type: ignore[method-assign]
    office.run()
    other.run(Deadline.after(60))
    assert len(office.postmaster.tried) == 1
    assert (tmp_path / "other").exists()


def test_a_notice_that_was_not_taken_is_tried_again(office: Office) -> None:
    office.hold("alice")
    office.postmaster.fault = NoticeError("down")
    office.run()
    assert office.log.lines == ["notice not sent alice"]
    assert office.file.exists(), "what is queued is held whether or not somebody was told"
    office.postmaster.fault = None
    office.run()
    office.run()
    assert len(office.postmaster.tried) == 2


def test_where_nobody_knows_who_is_held_the_next_run_looks_again(tmp_path: Path) -> None:
    office = Office(tmp_path / "missing")
    office.run()
    (tmp_path / "missing").mkdir()
    office.hold("alice")
    office.run()
    assert len(office.postmaster.tried) == 1


def test_a_notice_that_is_refused_for_good_is_not_tried_again(office: Office) -> None:
    office.hold("alice")
    office.postmaster.fault = NoticeRefusedError("no such user")
    office.run()
    office.run()
    assert len(office.postmaster.tried) == 1


def test_those_for_whom_there_is_no_time_are_told_of_by_the_next_run(office: Office) -> None:
    office.hold("alice")
    office.notices.run(Deadline.after(0))
    assert office.file.exists()
    assert office.postmaster.tried == []
    office.run()
    assert len(office.postmaster.tried) == 1
