"""Notices of servers that do not answer: at the second look, one a day, none lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.notices.outages import DAY, Outages
from iems.notices.postmaster import NoticeError

DOWN = {"content": "gives no answer in time", "directory": ""}
UP = {"content": "", "directory": ""}


class World:
    """The file, postmaster, the log and the clock."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.notices: list[str] = []
        self.lines: list[str] = []
        self.deaf = False
        self.now = 1_000_000.0
        self.outages = self.restarted()

    def restarted(self) -> Outages:
        """Another process."""
        self.outages = Outages(self.file, self, self, lambda: self.now)
        return self.outages

    def look(self, *looks: dict[str, str]) -> None:
        """What was seen, look by look."""
        for wrong in looks:
            self.outages.seen(wrong)

    def notify(self, name: str, **values: str) -> None:
        """Be postmaster."""
        if self.deaf:
            raise NoticeError("connection refused")
        assert name == "servers-silent"
        self.notices.append(values["servers"])

    def warning(self, text: str, **fields: object) -> None:
        """Be the log."""
        self.lines.append(f"{text} {fields}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "outages.json")


def test_the_second_look_in_a_row_is_told_of_and_no_further_one(world: World) -> None:
    world.look(DOWN, UP, DOWN)
    assert world.notices == []
    world.look(DOWN)
    assert world.notices == ["  content: gives no answer in time"]
    world.look(DOWN, DOWN, UP, DOWN, DOWN)
    assert len(world.notices) == 1


def test_all_of_a_look_are_one_notice_and_each_server_has_its_own_day(world: World) -> None:
    world.look(DOWN, DOWN)
    both = {**DOWN, "directory": "Can't contact LDAP server"}
    world.look(both, both)
    assert world.notices[1:] == ["  directory: Can't contact LDAP server"]
    world.now += DAY
    world.look(both)
    assert world.notices[2:] == [
        "  content: gives no answer in time\n  directory: Can't contact LDAP server"
    ]


def test_a_restart_tells_nothing_twice(world: World) -> None:
    world.look(DOWN, DOWN)
    world.restarted()
    world.look(DOWN, DOWN)
    assert len(world.notices) == 1


def test_one_that_cannot_be_sent_is_owed_over_a_restart_and_the_return_of_the_server(
    world: World,
) -> None:
    world.deaf = True
    world.look(DOWN, DOWN, DOWN)
    assert len(world.lines) == 2
    assert "connection refused" in world.lines[0]
    world.restarted()
    world.deaf = False
    world.look(UP, UP)
    assert world.notices == ["  content: gives no answer in time"]


def test_a_clock_that_went_back_silences_nobody_for_longer_than_a_day(world: World) -> None:
    world.look(DOWN, DOWN)
    world.now -= 30 * DAY
    world.look(DOWN)
    assert len(world.notices) == 2


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"version": 2}', "[" * 100_000])
def test_a_file_that_cannot_be_read_says_nothing(world: World, text: str) -> None:
    world.file.write_text(text)
    world.restarted()
    world.look(DOWN, DOWN)
    assert len(world.notices) == 1
