"""What the agent remembers: bounded, written by several processes, and never more than a help."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lmtp.bayes import memory as module
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.score import Score, Verdict
from lmtp.bayes.store import StoreError
from tests.bayeskept import DAY, NOW, soon
from tests.cost import costs_less

SALT = b"s" * 16


def seen(name: str, user: str = "alice@example.test", time: float = NOW) -> Seen:
    """A message that was called spam."""
    score = Score(2.5, 0.92, Verdict.SPAM)
    message_id = f"<{name}@sender.example>".encode()
    return Seen(
        user, name.encode(), message_id, time, score, True, SALT, b"features of " + name.encode()
    )


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def memory(tmp_path: Path, notes: list[str]) -> Iterator[Memory]:
    with closing(Memory(tmp_path / "memory.sqlite", notes.append)) as memory:
        yield memory


def test_what_was_seen_is_recalled_for_each_user(memory: Memory) -> None:
    bob = replace(seen("one", "Bob@Example.Test"), junk=False, score=Score(-1.0, 0.27, Verdict.HAM))
    memory.add([seen("one"), bob], soon())
    one = memory.recall("ALICE@example.test", b"one", SALT, soon())
    assert one is not None
    assert replace(one, message_id=seen("one").message_id) == seen("one")
    found = memory.recall("bob@example.test", b"one", SALT, soon())
    assert found is not None
    assert (found.junk, found.score) == (False, bob.score)
    assert memory.recall("bob@example.test", b"two", SALT, soon()) is None
    assert memory.delivered("bob@example.test", b"<one@sender.example>", soon())
    assert not memory.delivered("bob@example.test", b"<two@sender.example>", soon())
    assert not memory.delivered("carol@example.test", b"<one@sender.example>", soon())
    memory.add([replace(bob, junk=True)], soon())
    again = memory.recall("bob@example.test", b"one", SALT, soon())
    assert again is not None
    assert again.junk, "the last delivery counts"


def test_a_message_without_an_id_is_none_that_was_delivered(memory: Memory) -> None:
    memory.add([replace(seen("one"), message_id=b"")], soon())
    assert not memory.delivered("alice@example.test", b"", soon())


def test_features_of_another_salt_are_worth_nothing(memory: Memory) -> None:
    memory.add([seen("one")], soon())
    found = memory.recall("alice@example.test", b"one", b"t" * 16, soon())
    assert found is not None
    assert (found.features, found.junk) == (b"", True)


def test_verdicts_are_counted(memory: Memory) -> None:
    ham = Score(-3.0, 0.04, Verdict.HAM)
    memory.add([seen("one"), seen("two"), replace(seen("three"), score=ham)], soon())
    memory.add([seen("four", "bob")], soon())
    assert memory.tally("alice@example.test", soon()) == Counter({Verdict.SPAM: 2, Verdict.HAM: 1})
    assert memory.tally("carol", soon()) == Counter()


def test_of_one_user_so_many_are_remembered(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 50)
    memory.add([seen("bob's", "bob")], soon())
    for number in range(300):
        memory.add([seen(f"{number}")], soon())
    assert 50 <= memory.tally("alice@example.test", soon()).total() < 50 + module._TIDY
    assert memory.recall("alice@example.test", b"299", SALT, soon()) is not None
    assert memory.recall("bob", b"bob's", SALT, soon()) is not None


def test_so_it_is_where_two_always_get_the_same(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the turn of each of them."""
    monkeypatch.setattr(module, "MOST", 50)
    names = ("one@example.test", "two@example.test")
    for number in range(300):
        memory.add([seen(f"{number}", name) for name in names], soon())
    for name in names:
        assert memory.tally(name, soon()).total() < 50 + 2 * module._TIDY


def test_the_file_does_not_grow_beyond_its_bound(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGES", 100)
    large = os.urandom(2000)
    for number in range(1500):
        memory.add([replace(seen(f"{number}", f"user{number}"), features=large)], soon())
    memory.close()
    assert memory.path.stat().st_size < 1.5 * 100 * 4096
    assert memory.recall("user0", b"0", SALT, soon()) is None, "the oldest went first"
    assert memory.recall("user1499", b"1499", SALT, soon()) is not None


def test_what_is_old_goes(memory: Memory) -> None:
    memory.add([seen(f"old {number}", time=NOW) for number in range(500)], soon())
    memory.add([seen("new", time=NOW + 9 * DAY)], soon())
    assert memory.expire(NOW + DAY, soon()) == 500
    assert memory.expire(NOW + DAY, soon()) == 0
    assert memory.tally("alice@example.test", soon()).total() == 1


def test_nothing_of_who_is_forgotten_is_left_in_the_files(memory: Memory) -> None:
    secret = os.urandom(64)
    memory.add([replace(seen("one"), features=secret), seen("two", "bob")], soon())
    assert memory.forget("Alice@example.test", soon())
    assert not memory.forget("alice@example.test", soon())
    written = b"".join(file.read_bytes() for file in memory.path.parent.iterdir())
    assert secret not in written
    assert b"alice" not in written
    assert memory.recall("bob", b"two", SALT, soon()) is not None


@pytest.mark.parametrize("size", [10, 5000])
def test_a_damaged_file_is_told_and_begun_anew(memory: Memory, notes: list[str], size: int) -> None:
    memory.path.write_bytes(b"no database " * size)
    with pytest.raises(StoreError, match=r"not a database \(it is removed and begun anew\)"):
        memory.add([seen("one")], soon())
    memory.add([seen("one")], soon())
    assert memory.recall("alice@example.test", b"one", SALT, soon()) is not None
    assert len(notes) == 1
    assert not list(memory.path.parent.glob("*.damaged"))


def test_a_row_that_nobody_wrote_is_not_there(memory: Memory) -> None:
    memory.add([seen("one")], soon())
    with closing(sqlite3.connect(memory.path, isolation_level=None)) as other:
        for damage in ("verdict = 'eggs'", "verdict = CAST(x'ff' AS TEXT)", "log_odds = 'x'"):
            other.execute(f"UPDATE seen SET {damage}")  # noqa: S608 - ours
            assert memory.recall("alice@example.test", b"one", SALT, soon()) is None
            other.execute("UPDATE seen SET verdict = 'spam'")
    assert memory.tally("alice@example.test", soon()).total() == 1


def test_all_of_the_group_may_use_the_file_and_nobody_else(memory: Memory) -> None:
    memory.add([seen("one")], soon())
    modes = {stat.S_IMODE(file.stat().st_mode) for file in memory.path.parent.iterdir()}
    assert modes == {0o660}


def _remember(path: Path, process: int) -> None:
    memory = Memory(path)
    for number in range(200):
        memory.add([seen(f"{process} {number}", f"user{number % 3}")], soon())


def test_processes_that_write_at_once_lose_nothing(memory: Memory) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_remember, args=(memory.path, number)) for number in (1, 2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
    assert [one.exitcode for one in processes] == [0, 0]
    assert sum(memory.tally(f"user{user}", soon()).total() for user in range(3)) == 400


def test_to_remember_costs_little(memory: Memory) -> None:
    """Of a user with as many as may be; some 0.1 ms, without a wait for the disk."""
    features = os.urandom(2000)
    rows = [replace(seen(f"{number}"), features=features) for number in range(module.MOST)]
    memory.add(rows, soon())
    with costs_less(0.8):
        for number in range(400):
            memory.add([replace(seen(f"new {number}"), features=features)], soon())
    with memory._file.opened(soon()) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (0,)
