"""The daily mail about checks in shadow: when it goes, what it counts, and what keeps it back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.model.finding import Finding
from iems.model.policy import SITE, Action, Decision, Reason
from iems.notices.postmaster import NoticeError
from iems.notices.shadow import DAY, ShadowNotices
from iems.serve.deadline import Deadline
from iems.store.records import Record, Recorder, RecordsError, details

LISTED = Finding("uribl/new", "listed", "listed", "linked host a.test is listed by new")
START = 1_000_000_000.0


@dataclass
class Office:
    """A postmaster, a log and a clock, and the records of an agent."""

    folder: Path
    checks: tuple[str, ...] = ("uribl/new", "spf")
    now: float = START
    broken: bool = False
    told: list[dict[str, str]] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def notify(self, name: str, **values: str) -> None:
        if self.broken:
            raise NoticeError("no")
        self.told.append({"name": name, **values})

    def warning(self, text: str, **fields: object) -> None:
        self.warned.append(f"{text} {fields}")

    def run(self, days: float = 0.0, seconds: float = 60) -> list[dict[str, str]]:
        """Let so many days pass, and the job run for so long; what it sent."""
        self.now += days * DAY
        before = len(self.told)
        job = ShadowNotices(
            self.checks,
            self.folder / "records.sqlite",
            self.folder / "shadow",
            self,
            self,
            lambda: self.now,
        )
        job.run(Deadline.after(seconds))
        return self.told[before:]

    def delivered(self, *would: Action) -> None:
        """A verdict to deliver each, and what the check in shadow would have done."""
        recorder = Recorder(self.folder / "records.sqlite")
        for action in would:
            shadows = (Reason(LISTED, action, SITE, enforced=False),)
            told = details(Decision(shadows=shadows), [LISTED])
            recorder.add(
                Record(
                    "R", "delivery", "deliver", recipient="a@b.test", details=told, time=self.now
                )
            )
        recorder.close(Deadline.after(10))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_once_a_day_with_what_came_since_the_last_one(office: Office) -> None:
    office.delivered(Action.REJECT)
    office.now += 10
    assert office.run() == []
    office.delivered(Action.JUNK, Action.JUNK, Action.REJECT, Action.DELIVER)
    assert office.run(0.9) == []
    (mail,) = office.run(0.1)
    assert mail == {
        "name": "shadow",
        "checks": "spf, uribl/new",
        "since": "2001-09-09 01:46 UTC",
        "verdicts": "4",
        "differences": "3",
        "lines": "       2  uribl/new listed: deliver -> junk\n"
        "       1  uribl/new listed: deliver -> reject",
    }
    office.delivered(Action.DELIVER)
    assert office.run(0.5) == []
    (mail,) = office.run(0.5)
    assert (mail["verdicts"], mail["differences"]) == ("1", "0")
    assert mail["lines"].endswith("no difference")
    assert office.run(1.0) == []


def test_what_there_is_no_time_to_count_is_not_hidden(office: Office) -> None:
    office.run()
    office.delivered(Action.DELIVER, Action.REJECT)
    (told,) = office.run(1, seconds=0)
    assert (told["verdicts"], told["differences"]) == ("1", "0")
    assert told["lines"].endswith("there was no time to count all that has come since")


def test_a_mail_that_cannot_be_sent_is_tried_again_with_what_came_since(office: Office) -> None:
    office.run()
    office.delivered(Action.JUNK)
    office.broken = True
    assert office.run(1.1) == []
    assert len(office.warned) == 1
    office.delivered(Action.JUNK)
    office.broken = False
    (mail,) = office.run(0.1)
    assert mail["differences"] == "2"


def test_a_check_that_goes_into_shadow_again_begins_a_day(office: Office) -> None:
    office.run()
    office.delivered(Action.JUNK)
    checks, office.checks = office.checks, ()
    assert office.run(5) == []
    office.checks = checks
    assert office.run() == []
    assert office.run(0.9) == []


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "2000000000", "9" * 5000])
def test_a_damaged_file_or_a_clock_that_went_back_begins_a_day(office: Office, text: str) -> None:
    (office.folder / "shadow").write_text(text)
    office.delivered(Action.JUNK)
    assert office.run() == []
    assert len(office.run(1.0)) == 1


def test_records_that_cannot_be_read_are_no_mail(office: Office) -> None:
    office.run()
    (office.folder / "records.sqlite").write_bytes(b"no records at all, but long enough " * 9)
    with pytest.raises(RecordsError):
        office.run(1.0)
    assert office.told == []
