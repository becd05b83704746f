"""`iems sender` without a server."""

from __future__ import annotations

import json

import pytest

from cli import domain, sender, user
from iems.directory.policy import MAX_SENDERS
from iems.directory.tree import SENDER, domain_entry
from tests.unit.cli.memory import Bench

ALICE = "alice@example.test"
NAME = (("uid", "alice"), *domain_entry("example.test"))


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    """A directory with alice."""
    made = Bench()
    made.run(domain, "add", "example.test", "--postmaster", ALICE)
    made.run(user, "add", ALICE)
    capsys.readouterr()
    made.audited.clear()
    return made


def values(bench: Bench) -> list[bytes]:
    """What stands in alice's entry."""
    return bench.store.entries[NAME].get(SENDER, [])


def test_an_entry_takes_the_place_of_the_last_for_its_pattern(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [b"nonsense", b"block b.test"]
    bench.store.entries[NAME][SENDER] = [*kept, b"allow A.test", b"block a.test"]
    assert bench.run(sender, "allow", ALICE, "A.Test", "--unverified") == 0
    assert values(bench) == [*kept, b"allow a.test unverified"]
    assert bench.run(sender, "block", ALICE, "a.test") == 0
    assert values(bench) == [*kept, b"block a.test"]
    assert bench.run(sender, "remove", ALICE, "a.test") == 0
    assert values(bench) == kept
    assert bench.audited == [f"site set sender {ALICE}: done"] * 3
    assert capsys.readouterr().out.splitlines() == [
        f"set user {ALICE} allow a.test unverified",
        f"set user {ALICE} block a.test",
        f"removed user {ALICE} a.test",
    ]


def test_unchanged_writes_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run(sender, "block", ALICE, "a.test")
    bench.audited.clear()
    assert bench.run(sender, "block", ALICE, "a.test") == 0
    assert bench.run(sender, "remove", ALICE, "b.test") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "unchanged",
        "unchanged",
    ]
    assert bench.audited == []


def test_list(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and for programs; what is no entry is told."""
    bench.store.entries[NAME][SENDER] = [b"block b.test", b"allow a.test unverified", b"nonsense"]
    assert bench.run(sender, "list", ALICE) == 0
    told = capsys.readouterr()
    assert told.out == "allow a.test unverified\nblock b.test\n"
    assert "nonsense" in told.err
    assert bench.run(sender, "list", ALICE, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"entry": "allow", "pattern": "a.test", "unverified": True},
        {"entry": "block", "pattern": "b.test", "unverified": False},
    ]
    assert bench.run(sender, "list", "example.test", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_list_that_is_full_takes_no_more(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    full = [b"block x%d.test" % number for number in range(MAX_SENDERS)]
    bench.store.entries[NAME][SENDER] = list(full)
    assert bench.run(sender, "block", ALICE, "a.test") == 1
    assert "at most 1000 count" in capsys.readouterr().err
    assert values(bench) == full
    assert bench.run(sender, "allow", ALICE, "x0.test") == 0
    assert len(values(bench)) == MAX_SENDERS


@pytest.mark.parametrize("words", [("nobody@example.test", "a.test"), ("other.test", "a.test")])
def test_nobody(bench: Bench, capsys: pytest.CaptureFixture[str], words: tuple[str, str]) -> None:
    assert bench.run(sender, "block", *words) == 1
    assert capsys.readouterr().err.startswith("iems: no ")


@pytest.mark.parametrize("pattern", ["word", "a b.test", "192.0.2.1/24", "joe@", "."])
def test_what_is_no_pattern_is_usage(
    bench: Bench, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.run(sender, "block", ALICE, pattern)
    assert ended.value.code == 2
    assert "PATTERN" in capsys.readouterr().err
