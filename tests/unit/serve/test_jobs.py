"""Jobs run until the process drains, whatever one of them does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.jobs import Job, alone, run_jobs, run_once
from iems.serve.log import Log
from tests.waiting import eventually


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log that nobody reads."""
    return Log.open("iems-test", path=tmp_path / "log")


def test_one_run_by_hand_tells_how_it_went(log: Log) -> None:
    seen: list[float] = []

    def fails(_deadline: Deadline) -> None:
        raise ValueError("no")

    assert run_once(Job("works", 60.0, lambda deadline: seen.append(deadline.remaining())), log)
    assert not run_once(Job("fails", 60.0, fails), log)
    assert 59.0 < seen[0] <= 60.0


def test_a_run_has_five_minutes_at_the_most(log: Log) -> None:
    seen: list[float] = []
    run_once(Job("daily", 86400.0, lambda deadline: seen.append(deadline.remaining())), log)
    assert seen[0] <= 300.0


def test_a_drain_waits_for_the_job_under_way(log: Log, tmp_path: Path) -> None:
    control = Control()
    begun, go_on = threading.Event(), threading.Event()
    done: list[bool] = []

    def slow(_deadline: Deadline) -> None:
        begun.set()
        done.append(go_on.wait(10))

    given = ([Job("slow", 60.0, slow)], control, log, tmp_path)
    jobs = threading.Thread(target=run_jobs, args=given)
    jobs.start()
    assert begun.wait(10)
    control.drain(10.0)
    assert jobs.is_alive()
    go_on.set()
    jobs.join(10)
    assert done == [True]


def test_a_drain_ends_the_wait_between_two_runs(log: Log, tmp_path: Path) -> None:
    control = Control()
    runs: list[Deadline] = []
    job = Job("often", 3600.0, runs.append)
    jobs = threading.Thread(target=run_jobs, args=([job], control, log, tmp_path))
    jobs.start()
    eventually(lambda: runs)
    control.drain(10.0)
    jobs.join(10)
    assert not jobs.is_alive()
    assert len(runs) == 1


def test_what_somebody_runs_by_hand_is_left_out_meanwhile(log: Log, tmp_path: Path) -> None:
    control = Control()
    runs: list[str] = []

    def job(name: str) -> Job:
        return Job(name, 0.01, lambda _deadline: runs.append(name))

    held, free = job("a"), job("b")
    jobs = threading.Thread(target=run_jobs, args=([held, free], control, log, tmp_path))
    try:
        with alone(held, tmp_path) as mine:
            assert mine
            jobs.start()
            eventually(lambda: runs.count("b") > 2)
            assert "a" not in runs
        eventually(lambda: "a" in runs)
    finally:
        control.drain(10.0)
        jobs.join(10)


def test_a_folder_that_takes_no_file_keeps_no_job_waiting(tmp_path: Path) -> None:
    with alone(Job("a", 1.0, lambda _deadline: None), tmp_path / "nowhere") as mine:
        assert mine
