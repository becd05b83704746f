"""Which lists are not asked: what the file says, reread as it changes, and the breaker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from milters.checks.guard import LIMIT, PAUSE, Guard, ListHealth, publish, published


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the health is published."""
    return tmp_path / "health.json"


def test_what_was_published_is_read_again(file: Path) -> None:
    lists = {
        "a": ListHealth({"ipv4": "why"}, {"ipv4": 1, "ipv6": 0}, 17.5, 18.5, True),
        "b": ListHealth(),
    }
    publish(file, lists)
    assert published(file) == lists
    assert [path.name for path in file.parent.iterdir()] == ["health.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"version": 2, "lists": {}}',
        '{"version": 1, "lists": 7}',
        '{"version": 1, "lists": {"a": 7}}',
        '{"version": 1, "lists": {"a": {"other": 7}}}',
        '{"version": 1, "lists": {"a": {"aside": "x"}}}',
        '{"version": 1, "lists": {"a": {"aside": {}, "silent": {"ipv4": "x"}}}}',
    ],
)
def test_a_damaged_file_says_nothing(text: str, file: Path) -> None:
    file.write_text(text)
    assert published(file) == {}
    assert Guard(file).reason("a", "ipv4") == ""


def test_the_file_is_looked_at_once_a_second_and_an_old_one_stays_valid(file: Path) -> None:
    clock = Clock()
    guard = Guard(file, clock)
    assert guard.reason("a", "ipv4") == ""
    publish(file, {"a": ListHealth({"ipv4": "sick"})})
    clock.now += 0.9
    assert guard.reason("a", "ipv4") == ""
    clock.now += 0.2
    assert guard.reason("a", "ipv4") == "sick"
    assert guard.reason("a", "ipv6") == ""
    assert guard.reason("b", "ipv4") == ""
    clock.now += 1_000_000
    assert guard.reason("a", "ipv4") == "sick"
    publish(file, {"a": ListHealth()})
    clock.now += 1.1
    assert guard.reason("a", "ipv4") == ""


def test_the_breaker_opens_for_its_pause_and_one_more_timeout_opens_it_again(file: Path) -> None:
    clock = Clock()
    guard = Guard(file, clock)
    for _ in range(LIMIT - 1):
        guard.timed_out("a")
    assert guard.reason("a", "ipv4") == ""
    guard.timed_out("a")
    assert "timed out" in guard.reason("a", "ipv4")
    assert "timed out" in guard.reason("a", "ipv6")
    assert guard.reason("b", "ipv4") == ""
    clock.now += PAUSE
    assert guard.reason("a", "ipv4") == ""
    guard.timed_out("a")
    assert "timed out" in guard.reason("a", "ipv4")
    clock.now += PAUSE
    guard.answered("a")
    guard.timed_out("a")
    assert guard.reason("a", "ipv4") == ""


def test_the_file_is_json_for_others_to_read(file: Path) -> None:
    publish(file, {"a": ListHealth({"ipv4": "why"}, since=5.0)})
    document = json.loads(file.read_text())
    assert document["version"] == 1
    assert document["lists"]["a"]["aside"] == {"ipv4": "why"}
