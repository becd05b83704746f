"""Counters: never more than a limit in any window, by however many processes, in a bounded file."""

from __future__ import annotations

import multiprocessing
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.serve.deadline import Deadline
from iems.store import counters as module
from iems.store.counters import Claim, Counters, CountersError, Held

LONG = 60.0
"""Seconds for what takes milliseconds, on a machine that is busy."""


class Clock:
    """Seconds of the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(tmp_path: Path, clock: Clock) -> Counters:
    return Counters(tmp_path / "counters.sqlite", clock)


def soon() -> Deadline:
    return Deadline.after(LONG)


def test_what_was_counted_is_over_with_its_window(counters: Counters, clock: Clock) -> None:
    assert counters.add("a", 2, 60.0, soon()) == 2
    clock.now += 30
    assert counters.add("a", 1, 60.0, soon()) == 3
    assert counters.add("b", 5, 60.0, soon()) == 5
    assert counters.add("a", 7, 600.0, soon()) == 7, "another window of the same key"
    clock.now += 29.9
    assert counters.peek("a", 60.0, soon()) == 3
    clock.now += 6.1
    assert counters.peek("a", 60.0, soon()) == 1
    clock.now += 30
    assert counters.peek("a", 60.0, soon()) == 0
    assert counters.peek("a", 600.0, soon()) == 7
    assert counters.peek("unknown", 60.0, soon()) == 0


def test_claims_are_counted_together_or_not_at_all(counters: Counters, clock: Clock) -> None:
    many, few = Claim("many", 600.0, limit=10, amount=4), Claim("few", 60.0, limit=1)
    assert counters.take([many, few], soon()) == (0.0, 0.0)
    free, wait = counters.take([many, few], soon())
    assert (free, counters.peek("many", 600.0, soon())) == (0.0, 4)
    assert 60 <= wait <= 66
    clock.now += wait - 0.1
    assert counters.take([few], soon()) > (0.0,)
    clock.now += 0.1
    assert counters.take([many, few], soon()) == (0.0, 0.0)
    assert counters.take([], soon()) == ()


def test_what_can_never_be_claimed_waits_for_a_whole_window(counters: Counters) -> None:
    assert counters.take([Claim("a", 60.0, limit=3, amount=4)], soon()) == (60.0,)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 4)), max_size=40),
    st.integers(1, 8),
    st.floats(0.5, 50),
)
def test_no_window_has_more_than_its_limit(
    steps: list[tuple[float, int]], limit: int, window: float
) -> None:
    """Against a list of all times: what was told is never less, nor what is older than a tenth."""
    clock, taken = Clock(), list[tuple[float, int]]()
    with tempfile.TemporaryDirectory() as folder:
        counters = Counters(Path(folder) / "counters.sqlite", clock)
        for pause, amount in steps:
            clock.now += pause
            told = counters.peek("a", window, soon())
            since = sum(n for at, n in taken if at > clock.now - window * 0.999)
            assert since <= told
            assert told <= sum(n for at, n in taken if at > clock.now - window * 1.101)
            [wait] = counters.take([Claim("a", window, limit, amount)], soon())
            assert (wait == 0) == (told + amount <= limit)
            if wait == 0:
                taken.append((clock.now, amount))
            elif amount <= limit:
                clock.now += wait + 1e-6
                assert counters.take([Claim("a", window, limit, amount)], soon()) == (0.0,)
                taken.append((clock.now, amount))
        counters.close()


def _count(path: Path, times: int) -> None:
    one = Counters(path)
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
    assert Counters(path).peek("a", 3600.0, soon()) == 600


def test_a_clock_that_is_set_forgets_and_blocks_nobody(counters: Counters, clock: Clock) -> None:
    counters.add("a", 3, 60.0, soon())
    clock.now -= 3600
    assert counters.take([Claim("a", 60.0, limit=3)], soon()) == (0.0,)
    assert counters.peek("a", 60.0, soon()) == 1


def test_no_name_is_too_strange_and_no_amount_too_large(counters: Counters) -> None:
    for key in ("", "\udcff\ud800", "ä" * 10_000):
        assert counters.add(key, 1, 60.0, soon()) == 1
    counters.add("a", 1 << 80, 60.0, soon())
    assert counters.add("a", 1 << 80, 60.0, soon()) == 1 << 62
    assert counters.add("a", -(1 << 80), 60.0, soon()) == 0


def test_what_is_over_goes_as_others_are_counted(counters: Counters, clock: Clock) -> None:
    for number in range(500):
        counters.add(f"stranger {number}", 1, 60.0, soon())
        clock.now += 1
    assert _rows(counters) < 60 + 6 + 2 * module._TIDY


def test_strangers_without_end_do_not_grow_the_file(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGES", 20)
    counters.add("short", 1, 60.0, soon())
    for number in range(2000):
        counters.add(f"stranger {number}", 1, 3600.0, soon())
    assert counters.peek("short", 60.0, soon()) == 0, "what would be over first"
    assert counters.peek("stranger 1999", 3600.0, soon()) == 1
    assert _rows(counters) < 1000


def _rows(counters: Counters) -> int:
    connection = sqlite3.connect(counters._path)
    try:
        return int(connection.execute("SELECT count(*) FROM counter").fetchone()[0])
    finally:
        connection.close()


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    notes: list[str] = []
    counters = Counters(tmp_path / "missing" / "counters.sqlite", note=notes.append)
    with pytest.raises(CountersError, match=r"missing/counters\.sqlite: unable to open") as error:
        counters.add("a", 1, 60.0, soon())
    assert notes == [str(error.value)]
    (tmp_path / "missing").mkdir()
    assert counters.add("a", 1, 60.0, soon()) == 1


def test_a_lock_is_waited_for_until_the_deadline(counters: Counters) -> None:
    counters.add("a", 1, 60.0, soon())
    other = sqlite3.connect(counters._path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CountersError, match="database is locked"):
        counters.add("a", 1, 60.0, Deadline.after(0.05))
    other.execute("ROLLBACK")
    other.close()
    assert counters.add("a", 1, 60.0, soon()) == 2
    with counters._lock, pytest.raises(CountersError, match="other threads"):
        counters.peek("a", 60.0, Deadline.after(0.01))


def test_a_full_disk_is_told_and_loses_no_count(counters: Counters) -> None:
    counters.add("a", 1, 60.0, soon())
    connection = counters._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(CountersError, match="full"):
        counters.take([Claim("a", 60.0, 9), Claim("b" * 50_000, 60.0, 9)], soon())
    assert counters.add("a", 1, 60.0, soon()) == 2


@pytest.mark.parametrize("size", [10, 5000])
def test_a_damaged_file_is_told_and_begun_anew(tmp_path: Path, size: int) -> None:
    path = tmp_path / "counters.sqlite"
    path.write_bytes(b"no database " * size)
    counters = Counters(path)
    with pytest.raises(CountersError, match=r"not a database.*begun anew"):
        counters.add("a", 1, 60.0, soon())
    assert counters.add("a", 1, 60.0, soon()) == 1


def test_a_row_that_nobody_wrote_counts_for_nothing(counters: Counters) -> None:
    counters.add("a", 5, 60.0, soon())
    other = sqlite3.connect(counters._path)
    other.execute("UPDATE counter SET slots = x'00'")
    other.commit()
    other.close()
    assert counters.add("a", 1, 60.0, soon()) == 1


def test_all_go_on_with_the_file_that_has_the_name(tmp_path: Path) -> None:
    path = tmp_path / "counters.sqlite"
    one, two = Counters(path), Counters(path)
    assert (one.add("a", 1, 60.0, soon()), two.add("a", 1, 60.0, soon())) == (1, 2)
    for file in tmp_path.iterdir():
        file.unlink()
    assert (one.add("a", 1, 60.0, soon()), two.add("a", 1, 60.0, soon())) == (1, 2)
    one.close()
    assert one.add("a", 1, 60.0, soon()) == 3


def test_an_account_is_held_once_and_told_of_once(counters: Counters, clock: Clock) -> None:
    assert counters.hold("bob", "too many", soon())
    clock.now += 5
    assert not counters.hold("bob", "far too many", soon())
    assert counters.hold("alice\udcff", "also", soon())
    assert counters.is_held("bob", soon())
    assert counters.is_held("alice\udcff", soon())
    assert not counters.is_held("carol", soon())
    bob, alice = counters.held(soon())
    assert bob == Held("bob", clock.now - 5, "too many", told=False)
    counters.tell(bob, soon())
    assert [one.told for one in counters.held(soon())] == [True, False]
    assert counters.release("bob", [], soon())
    assert not counters.release("bob", [], soon())
    assert counters.held(soon()) == [alice]
    clock.now += 5
    counters.hold("bob", "again", soon())
    counters.tell(bob, soon())
    assert [one.told for one in counters.held(soon())] == [False, False], "it is another hold"


def test_a_release_forgets_counts(counters: Counters) -> None:
    for key, window in (("a", 60.0), ("a", 600.0), ("b", 60.0)):
        counters.add(key, 3, window, soon())
    counters.release("bob", ["a"], soon())
    assert counters.peek("a", 60.0, soon()) == counters.peek("a", 600.0, soon()) == 0
    assert counters.peek("b", 60.0, soon()) == 3


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
    assert Counters(path).add("a", 1, 60.0, soon()) == 1
    assert len(waits) == 1
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CountersError, match="locked"):
        Counters(path).add("a", 1, 60.0, Deadline.after(0))
    other.close()


def test_what_is_held_is_synced_and_counts_are_not(counters: Counters) -> None:
    counters.add("a", 1, 60.0, soon())
    connection = counters._connection
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
