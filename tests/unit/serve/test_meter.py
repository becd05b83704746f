"""The meter: what many threads and processes measured adds up, and travels as JSON unchanged."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.serve.meter import BUCKETS, ERRORS, Error, Meter, Snapshot, Times, series

_SERIES = st.tuples(
    st.sampled_from(["a_total", "b_total"]),
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.text(max_size=3)), unique_by=lambda one: one[0]
    ).map(lambda pairs: tuple(sorted(pairs))),
)
_NUMBER = st.integers(0, 10**6).map(float)
_TIMES = st.builds(
    Times,
    st.lists(st.integers(0, 99), min_size=len(BUCKETS) + 1, max_size=len(BUCKETS) + 1),
    _NUMBER,
)
_SNAPSHOTS = st.builds(
    Snapshot,
    st.dictionaries(_SERIES, _NUMBER, max_size=4),
    st.dictionaries(_SERIES, _NUMBER, max_size=4),
    st.dictionaries(_SERIES, _TIMES, max_size=4),
    st.lists(st.builds(Error, _NUMBER, st.text(max_size=9)), max_size=ERRORS),
)


@given(_SNAPSHOTS)
def test_a_snapshot_travels_unchanged(one: Snapshot) -> None:
    assert Snapshot.read(json.loads(json.dumps(one.document()))) == one


@given(st.lists(_SNAPSHOTS, max_size=4))
def test_the_order_of_processes_does_not_matter(parts: list[Snapshot]) -> None:
    first, second = Snapshot(), Snapshot()
    for one in parts:
        first.add(one)
    for one in reversed(parts):
        second.add(one)
    assert first.counters == second.counters
    assert first.levels == second.levels
    assert first.times == second.times
    for key, value in first.counters.items():
        assert value == sum(one.counters.get(key, 0.0) for one in parts)


@pytest.mark.parametrize(
    "nonsense", [None, 3, "x", [], ["x"], [1, {}, "x"], {"a": 1}, [[], [], []]]
)
def test_what_is_no_snapshot_is_an_error(nonsense: object) -> None:
    for name in ("counters", "levels", "times", "errors"):
        document = {**Snapshot().document(), name: [nonsense]}
        with pytest.raises(ValueError, match=r"snapshot|could not|unpack|values"):
            Snapshot.read(document)


def test_threads_lose_no_count() -> None:
    meter = Meter()

    def work() -> None:
        for _ in range(2000):
            meter.count("messages_total", channel="internet")
            with meter.timed("stage_seconds", stage="rcpt"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = meter.snapshot()
    assert seen.counters[series("messages_total", {"channel": "internet"})] == 8000
    assert sum(seen.times[series("stage_seconds", {"stage": "rcpt"})].counts) == 8000


def test_a_snapshot_is_not_what_is_measured_next() -> None:
    meter = Meter()
    meter.watch("dropped_total", lambda: 7)
    meter.level("backend_up", 1.0, backend="directory")
    with meter.timed("stage_seconds"):
        pass
    before = meter.snapshot()
    with meter.timed("stage_seconds"):
        pass
    meter.count("errors_total")
    assert sum(before.times[series("stage_seconds", {})].counts) == 1
    assert before.counters == {series("dropped_total", {}): 7.0}
    assert before.levels == {series("backend_up", {"backend": "directory"}): 1.0}


def test_a_time_lies_in_the_first_bucket_that_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, BUCKETS[3], 0.0, BUCKETS[3] + 1e-6, 0.0, 1e6])
    monkeypatch.setattr("iems.serve.meter.time.monotonic", lambda: next(clock))
    meter = Meter()
    for _ in range(3):
        with meter.timed("stage_seconds"):
            pass
    counts = meter.snapshot().times[series("stage_seconds", {})].counts
    assert [number for number, count in enumerate(counts) if count] == [3, 4, len(BUCKETS)]


def test_the_last_errors_are_kept_and_all_are_counted() -> None:
    meter = Meter()
    for number in range(20):
        meter.error(f"{number} " + "x" * 1000)
    seen = meter.snapshot()
    assert [one.text.split()[0] for one in seen.errors] == ["15", "16", "17", "18", "19"]
    assert max(len(one.text) for one in seen.errors) <= 300
    assert seen.counters[series("errors_total", {})] == 20
