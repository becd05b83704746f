"""Records: committed means on disk, found again by every name, and a full disk is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from iems.model.finding import Finding
from iems.model.policy import Action, Decision, Kind, Reason, Subject
from iems.serve.deadline import Deadline
from iems.store.records import Record, Recorder, RecordsError, details, search


def record(reference: str, **more: object) -> Record:
    return Record(reference=reference, stage="rcpt", action="reject", **more)  # type: ignore[arg-type]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "records.sqlite")


def test_committed_records_are_found_by_each_name(tmp_path: Path, recorder: Recorder) -> None:
    named = record(
        "R1", queue_id="4Q", message_id="<m@x>", recipient="alice@example.test", time=1.0
    )
    recorder.commit(
        [named, record("R1", recipient="bob@example.test", time=2.0)], Deadline.after(5)
    )
    for word in ("R1", "4Q", "<m@x>"):
        found = search([tmp_path / "records.sqlite"], word)
        assert [one.recipient for one in found] == ["alice@example.test", "bob@example.test"]
    assert len(search([tmp_path / "records.sqlite"], "R1", recipient="BOB@example.test")) == 1
    assert len(search([tmp_path / "records.sqlite"], "R1", since=1.5)) == 1
    assert search([tmp_path / "records.sqlite"], "R2") == []


def test_records_of_two_daemons_are_joined_by_reference(tmp_path: Path) -> None:
    files = [tmp_path / "one.sqlite", tmp_path / "two.sqlite"]
    for file, names in zip(files, ({"queue_id": "4Q"}, {}), strict=True):
        Recorder(file).commit([record("R1", **names)], Deadline.after(5))
    assert len(search([*files, tmp_path / "none.sqlite"], "4Q")) == 2


def test_queued_records_are_written_at_close(tmp_path: Path, recorder: Recorder) -> None:
    for number in range(1200):
        recorder.add(record(f"R{number}"))
    recorder.close(Deadline.after(10))
    assert all(search([tmp_path / "records.sqlite"], f"R{n}") for n in (0, 600, 1199))


def test_one_transaction_serves_many_who_wait(tmp_path: Path) -> None:
    recorders = [Recorder(tmp_path / "records.sqlite") for _ in range(2)]
    threads = [
        threading.Thread(
            target=recorders[number % 2].commit, args=([record(f"R{number}")], Deadline.after(20))
        )
        for number in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(search([tmp_path / "records.sqlite"], f"R{n}") for n in range(40))


def test_a_file_that_cannot_be_written_fails_the_commit_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "state" / "records.sqlite"
    file.parent.mkdir()
    recorder = Recorder(file)
    moved = tmp_path / "gone"
    file.parent.rename(moved)
    with pytest.raises(RecordsError):
        recorder.commit([record("R1")], Deadline.after(5))
    moved.rename(file.parent)
    recorder.commit([record("R2")], Deadline.after(5))
    assert search([file], "R2")


def test_a_damaged_file_is_told_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(RecordsError, match=r"records\.sqlite"):
        search([tmp_path / "records.sqlite"], "R1")


def test_text_that_is_not_utf8_is_stored_readably(tmp_path: Path, recorder: Recorder) -> None:
    recorder.commit([record("R1", sender="a\udcff@b")], Deadline.after(5))
    assert search([tmp_path / "records.sqlite"], "R1")[0].sender == "a?@b"


def test_details_name_check_action_and_layer() -> None:
    finding = Finding("iprev", "fail", "mismatch", "no name")
    reason = Reason(finding, Action.TAG, Subject(Kind.USER, "alice@example.test"), enforced=False)
    told = details(Decision(Action.TAG, (reason,), ("a note",)), [finding])
    assert told["reasons"] == [
        {
            "check": "iprev",
            "band": "mismatch",
            "outcome": "fail",
            "reason": "no name",
            "action": "tag",
            "layer": "user alice@example.test",
            "enforced": False,
        }
    ]
    assert told["notes"] == ["a note"]
