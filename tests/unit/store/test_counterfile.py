"""Counters in a file: by however many processes, in a bounded file, whatever becomes of it."""

from __future__ import annotations

import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from iems.store import counterfile as module
from iems.store.counterfile import CounterFile
from iems.store.counters import Claim, CountersError
from tests.counting import LONG, Clock, CountersContract, Store, soon


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def store() -> Store:
    @contextmanager
    def made(clock: Clock) -> Iterator[CounterFile]:
        with tempfile.TemporaryDirectory() as folder:
            one = CounterFile(Path(folder) / "counters.sqlite", clock)
            with closing(one):
                yield one

    return made


class TestCounterFile(CountersContract):
    """It does what all counters do."""


@pytest.fixture
def counters(tmp_path: Path, clock: Clock) -> CounterFile:
    return CounterFile(tmp_path / "counters.sqlite", clock)


def _count(path: Path, times: int) -> None:
    one = CounterFile(path)
    for _ in range(times):
        one.add("a", 1, 3600.0, Deadline.after(LONG))


def test_processes_that_open_and_count_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "counters.sqlite"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(path, 150)) for _ in range(4)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(LONG)
    assert [one.exitcode for one in processes] == [0] * 4
    assert CounterFile(path).peek("a", 3600.0, soon()) == 600


def test_what_is_over_goes_as_others_are_counted(counters: CounterFile, clock: Clock) -> None:
    for number in range(500):
        counters.add(f"stranger {number}", 1, 60.0, soon())
        clock.now += 1
    assert _rows(counters) < 60 + 6 + 2 * module._TIDY


def test_strangers_without_end_do_not_grow_the_file(
    counters: CounterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGES", 20)
    counters.add("short", 1, 60.0, soon())
    for number in range(2000):
        counters.add(f"stranger {number}", 1, 3600.0, soon())
    assert counters.peek("short", 60.0, soon()) == 0, "what would be over first"
    assert counters.peek("stranger 1999", 3600.0, soon()) == 1
    assert _rows(counters) < 1000


def _rows(counters: CounterFile) -> int:
    connection = sqlite3.connect(counters._file.path)
    try:
        return int(connection.execute("SELECT count(*) FROM counter").fetchone()[0])
    finally:
        connection.close()


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    notes: list[str] = []
    counters = CounterFile(tmp_path / "missing" / "counters.sqlite", note=notes.append)
    with pytest.raises(CountersError, match=r"missing/counters\.sqlite: unable to open") as error:
        counters.add("a", 1, 60.0, soon())
    assert notes == [str(error.value)]
    (tmp_path / "missing").mkdir()
    assert counters.add("a", 1, 60.0, soon()) == 1


def test_a_lock_is_waited_for_until_the_deadline(counters: CounterFile) -> None:
    counters.add("a", 1, 60.0, soon())
    other = sqlite3.connect(counters._file.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CountersError, match="database is locked"):
        counters.add("a", 1, 60.0, Deadline.after(0.05))
    other.execute("ROLLBACK")
    other.close()
    assert counters.add("a", 1, 60.0, soon()) == 2
    with counters._file._lock, pytest.raises(CountersError, match="other threads"):
        counters.peek("a", 60.0, Deadline.after(0.01))


def test_a_full_disk_is_told_and_loses_no_count(counters: CounterFile) -> None:
    counters.add("a", 1, 60.0, soon())
    connection = counters._file._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(CountersError, match="full"):
        counters.take([Claim("a", 60.0, 9), Claim("b" * 50_000, 60.0, 9)], soon())
    assert counters.add("a", 1, 60.0, soon()) == 2


@pytest.mark.parametrize("size", [10, 5000])
def test_a_damaged_file_is_told_and_begun_anew(tmp_path: Path, size: int) -> None:
    path = tmp_path / "counters.sqlite"
    path.write_bytes(b"no database " * size)
    counters = CounterFile(path)
    with pytest.raises(CountersError, match=r"not a database.*begun anew"):
        counters.add("a", 1, 60.0, soon())
    assert counters.add("a", 1, 60.0, soon()) == 1


def test_a_row_that_nobody_wrote_counts_for_nothing(counters: CounterFile) -> None:
    counters.add("a", 5, 60.0, soon())
    other = sqlite3.connect(counters._file.path)
    other.execute("UPDATE counter SET slots = x'00'")
    other.commit()
    other.close()
    assert counters.add("a", 1, 60.0, soon()) == 1


def test_all_go_on_with_the_file_that_has_the_name(tmp_path: Path) -> None:
    path = tmp_path / "counters.sqlite"
    one, two = CounterFile(path), CounterFile(path)
    assert (one.add("a", 1, 60.0, soon()), two.add("a", 1, 60.0, soon())) == (1, 2)
    for file in tmp_path.iterdir():
        file.unlink()
    assert (one.add("a", 1, 60.0, soon()), two.add("a", 1, 60.0, soon())) == (1, 2)
    one.close()
    assert one.add("a", 1, 60.0, soon()) == 3


def test_a_file_that_another_process_is_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "counters.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE x (y)")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr(time, "sleep", wait)
    assert CounterFile(path).add("a", 1, 60.0, soon()) == 1
    assert len(waits) == 1
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CountersError, match="locked"):
        CounterFile(path).add("a", 1, 60.0, Deadline.after(0))
    other.close()


def test_what_is_held_is_synced_and_counts_are_not(counters: CounterFile) -> None:
    counters.add("a", 1, 60.0, soon())
    connection = counters._file._connection
    assert connection is not None
    # NORMAL syncs when the log begins anew and at no commit (sqlite.org/pragma.html).
    assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
    said: list[str] = []
    connection.set_trace_callback(said.append)
    counters.hold("bob", "w", soon())
    counters.add("a", 1, 60.0, soon())
    connection.set_trace_callback(None)
    words = [one.split("(")[0].strip() for one in said]
    at = words.index("INSERT OR IGNORE INTO held")
    assert words[at - 1] == "PRAGMA synchronous = FULL"
    assert words[at + 1] == "PRAGMA synchronous = NORMAL"
