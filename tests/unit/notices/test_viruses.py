"""Notices of viruses: one an hour and person, and each message once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.notices import viruses
from iems.notices.postmaster import NoticeError, NoticeRefusedError
from iems.notices.viruses import HOUR, PASSED, RECEIVED, SENT, VirusNotices
from iems.serve.deadline import Deadline
from iems.store.owed import FILE, MOST, Event, Owed
from tests.unit.notices.digests import USERS, Directory

ALICE, BOB, CAROL, POSTMASTER = (f"{one}@b.test" for one in ("alice", "bob", "carol", "postmaster"))
NOW = 1_800_000_000.0
EVENT = Event(NOW, RECEIVED, "a@x.test", BOB, "hello", "Eicar", "refused", "REF")


@dataclass
class Office:
    """A job, its mail server and its clock."""

    file: Path
    sent: list[tuple[str, EmailMessage]] = field(default_factory=list)
    warned: list[Mapping[str, object]] = field(default_factory=list)
    fails: NoticeError | None = None
    now: float = NOW
    directory: Directory = field(default_factory=lambda: Directory(TomlDirectory.parse(USERS)))

    def send(self, to: Address, message: EmailMessage) -> None:
        if self.fails:
            raise self.fails
        self.sent.append((str(to), message))

    def warning(self, text: str, **fields: object) -> None:
        self.warned.append({"text": text, **fields})

    def happens(self, *persons: str, **more: Any) -> None:  # noqa: ANN401 - the fields of an event
        with closing(Owed(self.file)) as owed:
            owed.add([(one, replace(EVENT, **more)) for one in persons])

    def run(self, later: float = 0.0) -> list[str]:
        """Who is told now."""
        self.now += later
        before = len(self.sent)
        directory: Any = self.directory
        job = VirusNotices(
            *(self.file, Address.parse(POSTMASTER), "en", "mail.b.test", directory, self, self),
            clock=lambda: self.now,
        )
        job.run(Deadline.after(5))
        return [to for to, _message in self.sent[before:]]

    def text(self) -> str:
        """The text of the last notice."""
        body = self.sent[-1][1].get_body(("plain",))
        assert body is not None
        return str(body.get_content())


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / FILE)


def test_a_person_is_told_at_once_and_then_once_an_hour_of_all(office: Office) -> None:
    office.happens(BOB)
    assert office.run() == [BOB]
    for at in range(3):
        office.happens(BOB, subject=f"wave {at}")
        assert office.run(60) == []
    assert office.run(HOUR - 181) == []
    assert office.run(2) == [BOB]
    assert office.text().count("Eicar: refused") == 3
    assert "hello" not in office.text()
    assert office.run(HOUR + 1) == [], "nobody is told twice"


def test_the_text_says_what_he_has_to_do_with_it(office: Office) -> None:
    office.happens(ALICE)
    office.happens(ALICE, role=SENT, done="held", recipients="c@x.test, d@x.test")
    office.happens(POSTMASTER, role=PASSED, done="quarantine", subject="")
    assert office.run() == [ALICE, POSTMASTER]
    assert "iems why REFERENCE" in office.text()
    assert "Eicar: in quarantine" in office.text()
    assert "  Reference: REF" in office.text()
    (_to, told), _other = office.sent
    assert told["Subject"] == "Nachrichten mit einem Virus: 2", "in the language that he reads"
    body = told.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert text.index("An Sie") < text.index("Von Ihnen")
    assert "c@x.test, d@x.test" in text
    assert "Eicar: in der Warteschlange angehalten" in text


def test_a_wave_is_a_summary(office: Office) -> None:
    office.happens(*[BOB] * (MOST + 950))
    assert office.run() == [BOB]
    assert office.sent[-1][1]["Subject"] == "Messages with a virus: 1000"
    assert "and 950 more" in office.text()


def test_of_many_persons_only_so_many_are_told_an_hour(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viruses, "MOST", 2)
    office.happens(ALICE, BOB, POSTMASTER)
    assert office.run() == [ALICE, BOB]
    assert office.run(60) == []
    assert office.run(HOUR) == [POSTMASTER]


def test_what_cannot_be_sent_is_sent_later_and_what_is_refused_is_not(office: Office) -> None:
    office.happens(BOB)
    office.fails = NoticeError("busy")
    assert office.run() == []
    assert [one["text"] for one in office.warned] == ["notice not sent"]
    office.fails = None
    assert office.run(10) == [BOB]
    office.happens(BOB)
    office.fails = NoticeRefusedError("no")
    assert office.run(HOUR + 1) == []
    office.fails = None
    assert office.run(HOUR + 1) == []


def test_without_the_directory_it_waits(office: Office) -> None:
    office.happens(BOB)
    office.directory.away = True
    assert office.run() == []
    office.directory.away = False
    assert office.run() == [BOB]


def test_who_is_nobody_or_takes_no_mail_is_not_told(office: Office) -> None:
    office.happens(CAROL, "nobody@b.test", "someone@elsewhere.example")
    assert office.run() == []
    assert office.run(HOUR + 1) == []
    with closing(Owed(office.file)) as owed:
        assert owed.due(0, office.now, 9) == []


def test_after_a_week_nobody_is_told(office: Office) -> None:
    office.happens(BOB)
    office.fails = NoticeError("busy")
    office.run()
    office.fails = None
    assert office.run(7 * 24 * HOUR + 1) == []
