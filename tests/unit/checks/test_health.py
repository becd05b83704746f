"""The test of lists: sick, silent, well again, and one notice about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.dns.resolver import Answer, Status
from iems.notices.postmaster import NoticeError
from iems.serve.deadline import Deadline
from milters.checks import dnsbl
from milters.checks.guard import published
from milters.checks.health import HealthTest
from tests.unit.checks.world import NXDOMAIN, Answers, found

LISTED4 = "2.0.0.127"
CLEAR4 = "1.0.0.127"
LISTED6 = "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20
CLEAR6 = "1.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20
DAY = 86400.0


class World:
    """Lists, their answers, and what postmaster and the log get to see."""

    def __init__(self, file: Path, lists: dict[str, dict[str, object]]) -> None:
        self.file = file
        self.resolver = Answers()
        self.notices: list[str] = []
        self.lines: list[dict[str, object]] = []
        self.deaf = False
        self.now = 1_000_000.0
        self.lists = lists
        for label in lists:
            self.well(label)

    def well(self, label: str) -> None:
        """This list answers as RFC 5782 wants it."""
        for name, answer in (
            (LISTED4, found("127.0.0.2")),
            (CLEAR4, NXDOMAIN),
            (LISTED6, found("127.0.0.2")),
            (CLEAR6, NXDOMAIN),
        ):
            self.answer(label, name, answer)

    def answer(self, label: str, name: str, answer: Answer) -> None:
        """From now on this list answers so."""
        self.resolver.answers[f"{name}.{label}.zone.test", "A"] = answer

    def notify(self, name: str, **values: str) -> None:
        """Be postmaster."""
        if self.deaf:
            raise NoticeError("connection refused")
        assert name == "lists-aside"
        self.notices.append(values["lists"])

    def warning(self, text: str, **fields: object) -> None:
        """Be the log."""
        self.lines.append({"text": text, **fields})

    def run(self, rounds: int = 1) -> dict[str, dict[str, str]]:
        """Test the lists, each round in a process of its own; what is aside afterwards."""
        settings = {
            label: dnsbl.parse({"zone": f"{label}.zone.test", **options}, label)
            for label, options in self.lists.items()
        }
        for _ in range(rounds):
            self.now += 60
            HealthTest(settings, self.resolver, self.file, self, self, clock=lambda: self.now).run(
                Deadline.after(60)
            )
        return {label: dict(one.aside) for label, one in published(self.file).items()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One list that is well."""
    return World(tmp_path / "health.json", {"a": {}})


def test_a_list_that_is_well_is_asked_and_nobody_hears_of_it(world: World) -> None:
    assert world.run(3) == {"a": {}}
    assert len(world.resolver.asked) == 12
    assert world.notices == []
    assert world.lines == []


@pytest.mark.parametrize(
    ("name", "answer", "family", "why"),
    [
        (LISTED4, NXDOMAIN, "ipv4", "test entry 127.0.0.2 is not listed"),
        (LISTED4, found("127.255.255.254"), "ipv4", "its answer is 127.255.255.254"),
        (LISTED4, found("203.0.113.1"), "ipv4", "its answer is 203.0.113.1"),
        (CLEAR4, found("127.0.0.2"), "ipv4", "127.0.0.1 is listed"),
        (CLEAR4, found("127.0.0.77"), "ipv4", "127.0.0.1 is listed"),
        (LISTED6, NXDOMAIN, "ipv6", "test entry ::ffff:7f00:2 is not listed"),
        (CLEAR6, found("127.0.0.2"), "ipv6", "::ffff:7f00:1 is listed"),
    ],
)
def test_a_wrong_answer_sets_a_list_aside_at_once_and_a_right_one_brings_it_back(
    world: World, name: str, answer: Answer, family: str, why: str
) -> None:
    world.answer("a", name, answer)
    aside = world.run()
    assert list(aside["a"]) == [family]
    assert why in aside["a"][family]
    world.run(3)
    assert len(world.notices) == 1
    assert f"a ({family}): " in world.notices[0]
    assert why in world.notices[0]
    world.well("a")
    assert world.run() == {"a": {}}
    assert len(world.notices) == 1
    assert [line["text"] for line in world.lines] == [
        f"list set aside: {aside['a'][family]}",
        "list asked again",
    ]
    assert "zone.test" not in repr(world.notices) + repr(world.lines) + world.file.read_text()


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.SERVFAIL, Status.REFUSED])
def test_silence_sets_aside_at_the_second_time(world: World, status: Status) -> None:
    world.answer("a", LISTED4, Answer(status))
    assert world.run() == {"a": {}}
    world.well("a")
    assert world.run() == {"a": {}}
    world.answer("a", CLEAR4, Answer(status))
    assert world.run() == {"a": {}}
    assert world.notices == []
    assert status.value in world.run()["a"]["ipv4"]
    assert len(world.notices) == 1
    world.well("a")
    assert world.run() == {"a": {}}


def test_a_list_set_aside_for_an_answer_stays_so_while_it_is_silent(world: World) -> None:
    world.answer("a", LISTED4, NXDOMAIN)
    world.run()
    world.answer("a", LISTED4, Answer(Status.TIMEOUT))
    assert "timeout" in world.run()["a"]["ipv4"]


def test_all_lists_that_fall_sick_together_make_one_notice(tmp_path: Path) -> None:
    world = World(tmp_path / "health.json", {"a": {}, "b": {}, "c": {}})
    for label, name in (("a", LISTED4), ("b", LISTED4), ("b", LISTED6)):
        world.answer(label, name, NXDOMAIN)
    world.run(2)
    assert len(world.notices) == 1
    assert [line.split(":")[0].strip() for line in world.notices[0].splitlines()] == [
        "a (ipv4)",
        "b (ipv4)",
        "b (ipv6)",
    ]


def test_a_list_that_comes_and_goes_is_told_once_a_day(world: World) -> None:
    for _ in range(5):
        world.answer("a", LISTED4, NXDOMAIN)
        world.run()
        world.well("a")
        world.run()
    assert len(world.notices) == 1
    world.now += DAY
    world.answer("a", LISTED4, NXDOMAIN)
    world.run(3)
    assert len(world.notices) == 2


def test_a_notice_that_was_not_taken_is_sent_with_the_next_test(world: World) -> None:
    world.deaf = True
    world.answer("a", LISTED4, NXDOMAIN)
    assert world.run(2)["a"]
    assert world.notices == []
    assert world.lines[-1]["text"] == "notice to postmaster not sent"
    world.deaf = False
    world.run(3)
    assert len(world.notices) == 1


def test_a_notice_that_is_owed_is_dropped_when_the_list_is_well_again(world: World) -> None:
    world.deaf = True
    world.answer("a", LISTED4, NXDOMAIN)
    world.run()
    world.well("a")
    world.run()
    world.deaf = False
    world.run(2)
    assert world.notices == []


def test_lists_without_test_entries_say_so(tmp_path: Path) -> None:
    world = World(
        tmp_path / "health.json", {"any": {"health": "any-answer"}, "off": {"health": "off"}}
    )
    for name in (LISTED4, LISTED6):
        world.answer("any", name, NXDOMAIN)
    world.answer("any", CLEAR4, found("127.0.0.2"))
    assert world.run(2) == {"any": {}, "off": {}}
    assert not any("off" in name for name, _rtype in world.resolver.asked)
    world.answer("any", LISTED4, found("127.255.255.254"))
    assert "127.255.255.254" in world.run()["any"]["ipv4"]
    world.answer("any", LISTED4, Answer(Status.TIMEOUT))
    assert "timeout" in world.run(2)["any"]["ipv4"]


def test_the_mask_does_not_judge_the_test_entries(tmp_path: Path) -> None:
    world = World(tmp_path / "health.json", {"a": {"mask": ["127.0.0.10"]}})
    assert world.run() == {"a": {}}
    world.answer("a", CLEAR4, found("127.0.0.2"))
    assert list(world.run()["a"]) == ["ipv4"]


def test_what_is_no_longer_tested_is_no_longer_held_against_a_list(world: World) -> None:
    world.answer("a", LISTED4, NXDOMAIN)
    world.answer("a", LISTED6, NXDOMAIN)
    assert len(world.run()["a"]) == 2
    world.lists["a"] = {"families": ["ipv4"]}
    assert list(world.run()["a"]) == ["ipv4"]
    world.lists["a"] = {"health": "off"}
    assert world.run() == {"a": {}}
    world.lists = {}
    assert world.run() == {}
