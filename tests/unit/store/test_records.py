"""Records: committed means on disk, found again by every name, and a full disk is told."""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from iems.model.finding import Finding
from iems.model.policy import Action, Decision, Kind, Reason, Subject
from iems.serve.deadline import Deadline
from iems.store import records
from iems.store.records import Record, Recorder, RecordsError, details, new_reference, search
from tests.held import open_below
from tests.waiting import eventually


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


def test_no_name_is_looked_for_in_every_record(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own steps are counted: reading 2,000 records takes more than one for each."""
    many = [record(f"R{n}", queue_id=f"4Q{n}", message_id=f"<{n}@x>") for n in range(2000)]
    recorder.commit(many, Deadline.after(5))
    steps: list[None] = []
    opened = records._open

    def counted(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        connection = opened(path, read_only=read_only)
        connection.set_progress_handler(lambda: steps.append(None), 1)
        return connection

    monkeypatch.setattr(records, "_open", counted)
    for word in ("R7", "4Q8", "<9@x>", "unknown"):
        steps.clear()
        assert len(search([tmp_path / "records.sqlite"], word)) == (word != "unknown")
        assert 0 < len(steps) < 500


def test_a_recipient_is_found_also_where_an_alias_led_to_him(
    tmp_path: Path, recorder: Recorder
) -> None:
    subject = "user Alice@example.test"
    one = record("R1", recipient="Both@example.test", subject=subject, details={"notes": ["n"]})
    recorder.commit([one, record("R1", subject="internet")], Deadline.after(5))
    for name in ("alice@example.test", "BOTH@example.test"):
        assert search([tmp_path / "records.sqlite"], "R1", recipient=name) == [one]
    assert one in search([tmp_path / "records.sqlite"], "R1")


def test_records_come_in_the_order_of_their_times_whatever_the_file(tmp_path: Path) -> None:
    for name, times in (("one", (1.0, 3.0)), ("two", (2.0, 0.0))):
        Recorder(tmp_path / name).commit([record("R1", time=t) for t in times], Deadline.after(5))
    found = search([tmp_path / "one", tmp_path / "two"], "R1")
    assert [one.time for one in found] == [0.0, 1.0, 2.0, 3.0]


def test_references_are_twelve_letters_and_digits_and_differ() -> None:
    references = {new_reference() for _ in range(100)}
    assert len(references) == 100
    assert all(re.fullmatch("[A-Z2-7]{12}", one) for one in references)


class Disk:
    """Stands for the connections: a gate that can be shut, or a fault that is raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        self.fault: Exception | None = None
        self.batches: list[int] = []
        write = records._write

        def gated(connection: sqlite3.Connection, batch: list[records._Job]) -> None:
            self.reached.set()
            assert self.open.wait(20)
            if self.fault:
                raise self.fault
            self.batches.append(sum(len(job.records) for job in batch))
            write(connection, batch)

        monkeypatch.setattr(records, "_write", gated)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_disk_that_hangs_costs_no_more_than_the_deadline(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_QUEUE", 2)
    recorder = Recorder(tmp_path / "records.sqlite")
    disk.open.clear()
    with pytest.raises(RecordsError, match="not written in time"):
        recorder.commit([record("R1")], Deadline.after(0.1))
    assert disk.reached.wait(20)
    for number in range(5):
        recorder.add(record(f"Q{number}"))
    assert recorder.dropped == 3
    with pytest.raises(RecordsError, match="queue of records is full"):
        recorder.commit([record("R2")], Deadline.after(0.1))
    recorder.close(Deadline.after(0.1))
    disk.open.set()
    recorder.commit([record("R3")], Deadline.after(5))
    assert all(search([tmp_path / "records.sqlite"], word) for word in ("R1", "Q0", "Q1", "R3"))


def test_those_who_wait_share_a_transaction_and_wait_for_nobody_who_comes_later(
    recorder: Recorder, disk: Disk
) -> None:
    disk.open.clear()
    threads = [
        threading.Thread(target=recorder.commit, args=([record(f"R{n}")], Deadline.after(20)))
        for n in range(10)
    ]
    threads[0].start()
    assert disk.reached.wait(20)
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: recorder._queue.qsize() == 9)
    disk.open.set()
    for thread in threads:
        thread.join()
    assert disk.batches == [1, 9]


def test_a_transaction_has_a_bound(
    recorder: Recorder, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_BATCH", 3)
    monkeypatch.setattr(records, "_GATHER", 60.0)
    for number in range(7):
        recorder.add(record(f"R{number}"))
    recorder.close(Deadline.after(5))
    assert disk.batches == [3, 3, 1]


def test_what_nobody_waits_for_is_gathered_until_somebody_waits(
    recorder: Recorder, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_GATHER", 60.0)
    recorder.add(record("R1"))
    eventually(lambda: recorder._queue.qsize() == 0)
    recorder.add(record("R2"))
    recorder.commit([record("R3")], Deadline.after(5))
    assert disk.batches == [3]
    recorder.commit([record("R4")], Deadline.after(5))
    recorder.add(record("R5"))
    recorder.close(Deadline.after(5))
    assert disk.batches == [3, 1, 1]
    assert not recorder._thread.is_alive()


def test_what_nobody_waits_for_is_written_all_the_same(recorder: Recorder, disk: Disk) -> None:
    recorder.add(record("R1"))
    eventually(lambda: disk.batches == [1])


def test_a_process_opens_its_file_once_and_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path / "once.sqlite")
    recorder.commit([record("R1")], Deadline.after(5))
    before = open_below(tmp_path)
    monkeypatch.setattr(records, "_open", lambda *_arguments: pytest.fail("opened again"))
    recorder.commit([record("R2")], Deadline.after(5))
    assert open_below(tmp_path) == before > 0
    recorder.close(Deadline.after(5))
    assert open_below(tmp_path) == 0


def test_what_a_failing_disk_loses_is_counted_if_nobody_waited(tmp_path: Path, disk: Disk) -> None:
    recorder = Recorder(tmp_path / "records.sqlite")
    disk.fault = OSError("input/output error")
    recorder.add(record("R1"))
    with pytest.raises(RecordsError, match="OSError: input/output error"):
        recorder.commit([record("R2"), record("R3")], Deadline.after(5))
    assert recorder.dropped == 1


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path, recorder: Recorder) -> None:
    bad = record("R2", time=None)
    with pytest.raises(RecordsError, match="IntegrityError"):
        recorder.commit([record("R1"), bad], Deadline.after(5))
    assert search([tmp_path / "records.sqlite"], "R1") == []
    recorder.commit([record("R3")], Deadline.after(5))
    assert search([tmp_path / "records.sqlite"], "R3")


def test_a_record_that_was_waited_for_outlives_a_loss_of_power(tmp_path: Path) -> None:
    # FULL syncs the write-ahead log at each commit (sqlite.org/pragma.html#pragma_synchronous).
    connection = records._open(tmp_path / "records.sqlite")
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_search_changes_nothing(tmp_path: Path, recorder: Recorder) -> None:
    recorder.close(Deadline.after(5))
    connection = records._open(tmp_path / "records.sqlite", read_only=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM record")
    connection.close()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        records._open(tmp_path / "none.sqlite", read_only=True)


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
    file = tmp_path / "records.sqlite"
    recorder = Recorder(file)
    with closing(sqlite3.connect(file)) as other:
        other.execute("ALTER TABLE record RENAME TO gone")
        with pytest.raises(RecordsError):
            recorder.commit([record("R1")], Deadline.after(5))
        other.execute("ALTER TABLE gone RENAME TO record")
    recorder.commit([record("R2")], Deadline.after(5))
    assert search([file], "R2")


def test_who_may_not_write_reads_what_nobody_has_written_to_since_it_was_opened(
    tmp_path: Path,
) -> None:
    """Readers need files beside it that are there while a writer has it open, and not after."""
    file = tmp_path / "records.sqlite"
    recorder = Recorder(file)
    assert {one.name for one in tmp_path.iterdir()} == {
        file.name + end for end in ("", "-shm", "-wal")
    }
    recorder.close(Deadline.after(5))
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_file_is_told_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(RecordsError, match=r"records\.sqlite"):
        search([tmp_path / "records.sqlite"], "R1")


def test_text_that_is_not_utf8_is_stored_readably(tmp_path: Path, recorder: Recorder) -> None:
    recorder.commit([record("R1", sender="a\udcff@b")], Deadline.after(5))
    assert search([tmp_path / "records.sqlite"], "R1")[0].sender == "a?@b"


def test_details_name_check_action_and_layer() -> None:
    evidence = (("policy.iprev", "192.0.2.1"),)
    finding = Finding("iprev", "fail", "mismatch", "no name", None, evidence)
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
            "evidence": {"policy.iprev": "192.0.2.1"},
        }
    ]
    assert told["notes"] == ["a note"]
    assert told["findings"] == [
        {"check": "iprev", "outcome": "fail", "band": "mismatch", "reason": "no name"}
    ]


def test_old_records_go_in_batches(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first, wherever they stand, and not one that is younger."""
    monkeypatch.setattr(records, "_EXPIRED", 10)
    monkeypatch.setattr(records, "_PAUSE", 0.0)
    times = [float(time) for time in (*range(60, 95), *range(60))]
    recorder.commit([record("R1", time=time) for time in times], Deadline.after(5))
    path = tmp_path / "records.sqlite"
    assert records.expire(path, 50.0, Deadline.after(0)) == 0
    assert records.expire(path, 50.0, Deadline.after(20)) == 50
    assert [one.time for one in search([path], "R1")] == [float(time) for time in range(50, 95)]
    assert records.expire(path, 50.0, Deadline.after(20)) == 0
    (tmp_path / "none").mkdir()
    with pytest.raises(RecordsError, match="none"):
        records.expire(tmp_path / "none", 1.0, Deadline.after(1))


def test_who_writes_does_not_wait_for_old_records(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a batch the file is free."""
    monkeypatch.setattr(records, "_EXPIRED", 10)
    monkeypatch.setattr(records, "_PAUSE", 60.0)
    path, done = tmp_path / "records.sqlite", list[int]()
    recorder.commit([record("R1", time=1.0) for _number in range(30)], Deadline.after(5))
    end = Deadline.after(4)
    expiring = threading.Thread(target=lambda: done.append(records.expire(path, 2.0, end)))
    expiring.start()
    eventually(lambda: len(search([path], "R1")) == 20)
    recorder.commit([record("R2")], Deadline.after(3))
    expiring.join()
    assert done == [10]
