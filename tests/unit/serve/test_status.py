"""The file in which a supervisor says how its daemon is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from iems.serve.meter import Snapshot, series
from iems.serve.status import STALE, Process, Status, StatusError, publish, published, resident


def status(updated: float) -> Status:
    """A daemon with one worker."""
    worker = Process(pid=2, role="worker", generation=3, born=5.0, memory=6, draining=False)
    seen = Snapshot({series("messages_total", {"channel": "local"}): 4.0})
    return Status(
        "iems-lmtp", "0.1.0", 1, 5.0, updated, 3, 5.5, "a1", [worker], {"worker": 7}, seen
    )


def test_it_reads_back(tmp_path: Path) -> None:
    publish(tmp_path / "status.json", status(9.0))
    assert published(tmp_path / "status.json") == status(9.0)
    assert [one.name for one in tmp_path.iterdir()] == ["status.json"]


def test_an_old_one_is_stale() -> None:
    assert not status(time.time()).stale
    assert status(time.time() - STALE - 1).stale
    assert status(time.time() + STALE + 1).stale, "the clock was set back, and nobody writes it"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2}', '{"version": 1}', '{"version": 1, "seen": 3}', "\0"]
)
def test_what_makes_no_sense_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "status.json"
    file.write_text(text)
    with pytest.raises(StatusError, match=r"status\.json"):
        published(file)


def test_one_that_is_missing_says_that_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match="does not run"):
        published(tmp_path / "status.json")


def test_memory_is_told_of_those_that_live() -> None:
    assert resident(os.getpid()) > 1 << 20
    assert resident(2**22 + 1) == 0
