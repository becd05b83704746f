"""The filter's store in a file: by several processes, killed, full, damaged, and in other hands."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.serve.deadline import Deadline
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import DamagedError, Limits, Store, StoreError
from lmtp.bayes.tokens import key
from lmtp.bayes.training import Done, Trainer
from tests.bayeskept import (
    CLASSIFIER,
    DAY,
    NOW,
    Made,
    StoreContract,
    TrainingContract,
    entry,
    lesson,
    message,
    soon,
    trained_by_hand,
)
from tests.waiting import eventually


@pytest.fixture(scope="module")
def made() -> Made:
    @contextmanager
    def make(limits: Limits) -> Iterator[SqliteStore]:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(SqliteStore(Path(folder) / "bayes.sqlite", limits)) as store,
        ):
            yield store

    return make


def _sql(store: Store, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(cast("SqliteStore", store).path, isolation_level=None)) as file:
        return file.execute(statement, values).fetchall()


@pytest.fixture
def spoil() -> Callable[[Store, str], None]:
    def spoil(store: Store, user: str) -> None:
        _sql(store, "UPDATE user SET classifier = CAST(x'80' AS TEXT) WHERE user = ?", user)

    return spoil


@pytest.fixture
def aside() -> Callable[[Store], int]:
    return lambda store: len(_sql(store, "SELECT * FROM aside"))


class TestSqliteStore(StoreContract):
    """It does what all stores do."""


class TestTraining(TrainingContract):
    """Over it."""


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: list[str]) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "bayes.sqlite", note=notes.append)) as store:
        yield store


def _train(path: Path, numbers: range) -> None:
    """Train these messages, as a process of its own."""
    trainer = Trainer(SqliteStore(path), CLASSIFIER)
    for number in numbers:
        trainer.learn("alice", lesson(trainer.store, "alice", number, Label.SPAM), soon())


@pytest.mark.parametrize("count", [1, 4, 9])
def test_two_processes_lose_nothing_and_one_that_is_killed_leaves_nothing_half_done(
    store: SqliteStore, count: int
) -> None:
    """It is killed as soon as it is seen to have trained so many, wherever it is then."""
    context = multiprocessing.get_context("spawn")
    killed = context.Process(target=_train, args=(store.path, range(100, 1000)))
    other = context.Process(target=_train, args=(store.path, range(30)))

    def trained() -> int:
        return sum(key in hundreds for key in (one.key for one in store.journal("alice", soon())))

    hundreds = {key(message(number)) for number in range(100, 1000)}
    for one in (killed, other):
        one.start()
    eventually(lambda: trained() >= count, 60)
    killed.kill()
    for one in (killed, other):
        one.join(60)
    assert (killed.exitcode, other.exitcode) == (-signal.SIGKILL, 0)
    journal = {one.key for one in store.journal("alice", soon())}
    assert {key(message(number)) for number in range(30)} <= journal
    kept = store.load("alice", soon())
    assert (kept.spam, kept.state) == (len(journal), trained_by_hand(store, "alice").encode())
    Trainer(store, CLASSIFIER).learn("alice", lesson(store, "alice", 99, Label.HAM), soon())


def test_a_full_file_is_told_and_changes_nothing(store: SqliteStore, notes: list[str]) -> None:
    trainer = Trainer(store, CLASSIFIER)
    trainer.learn("alice", lesson(store, "alice", 1, Label.SPAM), soon())
    before, journal = store.load("alice", soon()), store.journal("alice", soon())
    connection = store._file._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match=r"bayes\.sqlite: database or disk is full"):
        trainer.learn("bob", replace(journal[0], change=b""), soon())
    assert len(notes) == 1
    assert (store.load("alice", soon()), store.journal("alice", soon())) == (before, journal)
    assert store.users(soon()) == ["alice"]


@pytest.mark.parametrize("place", ["head", "middle", "whole", "short"])
def test_a_damaged_file_is_set_aside_told_and_begun_anew(
    store: SqliteStore, notes: list[str], place: str
) -> None:
    for number in range(3):
        store.save(f"user{number}", store.load(f"user{number}", soon()), soon(), add=entry("one"))
    store.close()
    raw = store.path.read_bytes()
    damaged = {
        "head": b"\0" * 64 + raw[64:],
        "middle": raw[:4096] + b"\xa5" * (len(raw) - 4096),
        "whole": b"no database " * 1000,
        "short": raw[: 4096 + 77],
    }[place]
    store.path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"set aside as bayes\.sqlite\.damaged, and begun anew"):
        store.users(soon())
    assert store.path.with_name("bayes.sqlite.damaged").read_bytes()[:4096] == damaged[:4096]
    assert store.load("user1", soon()).number == 0
    assert store.save("user1", store.load("user1", soon()), soon(), add=entry("one"))
    assert [one.key for one in store.journal("user1", soon())] == [b"one"]
    assert len(notes) == 1


def test_of_damaged_files_the_last_one_is_kept_for_as_long_as_a_journal(
    store: SqliteStore, tmp_path: Path
) -> None:
    for content in (b"first " * 1000, b"second " * 1000):
        store.path.write_bytes(content)
        with pytest.raises(StoreError):
            store.load("alice", soon())
        store.close()
    aside = tmp_path / "bayes.sqlite.damaged"
    assert aside.read_bytes().startswith(b"second ")
    assert sorted(tmp_path.iterdir()) == [aside]
    os.utime(aside, (NOW, NOW))
    store.expire(NOW + 29 * DAY, soon())
    assert aside.exists()
    store.expire(NOW + 31 * DAY, soon())
    assert not aside.exists()


@pytest.mark.parametrize("column", ["state", "salt", "classifier", "ham", "time", "sum", "number"])
@pytest.mark.parametrize("value", ["x'00ff'", "NULL", "-7", "CAST(x'ff80' AS TEXT)"])
def test_no_value_in_a_row_is_more_than_damage(store: SqliteStore, column: str, value: str) -> None:
    store.save("alice", store.load("alice", soon()), soon(), add=entry("one"))
    with contextlib.suppress(sqlite3.IntegrityError):
        _sql(store, f"UPDATE OR IGNORE user SET {column} = {value}")  # noqa: S608 - ours
    with contextlib.suppress(DamagedError):
        store.load("alice", soon())
    trainer = Trainer(store, CLASSIFIER)
    assert trainer.learn("alice", lesson(store, "bob", 1, Label.HAM), soon()) is Done.LEARNED
    assert store.load("alice", soon()).ham == 1


@pytest.mark.parametrize("place", [0, 300, 70_000, -1])
def test_a_bit_that_is_another_one_is_damage(store: SqliteStore, place: int) -> None:
    notes: list[str] = []
    trainer = Trainer(store, CLASSIFIER, notes.append)
    trainer.learn("alice", lesson(store, "alice", 1, Label.SPAM), soon())
    before = store.load("alice", soon()).state
    state = bytearray(before)
    state[place] ^= 4
    _sql(store, "UPDATE user SET state = ?", bytes(state))
    assert trainer.mend("alice", soon())
    assert store.load("alice", soon()).state == before
    assert len(notes) == 2


@pytest.mark.parametrize(
    "damage", ["label = 'eggs'", "label = 'ham'", "packed = x'00'", "size = 1", "score = 'x'"]
)
def test_a_damaged_entry_of_a_journal_is_as_good_as_none(store: SqliteStore, damage: str) -> None:
    for name in ("one", "two"):
        store.save("alice", store.load("alice", soon()), soon(), add=entry(name))
    _sql(store, f"UPDATE journal SET {damage} WHERE key = ?", b"one")  # noqa: S608 - ours
    assert store.entry("alice", b"one", soon()) is None
    assert [one.key for one in store.journal("alice", soon())] == [b"two"]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([*Label, None])), max_size=12))
def test_whatever_was_trained_nothing_is_left_when_it_is_taken_back(
    made: Made, steps: list[tuple[int, Label | None]]
) -> None:
    """A label trains a message as that, none takes it back; in the end all are taken back."""
    with made(Limits()) as store:
        trainer = Trainer(store, CLASSIFIER)
        lessons = [lesson(store, "alice", number, Label.HAM) for number in range(5)]
        known: dict[bytes, Label] = {}
        for number, label in [*steps, *((number, None) for number in range(5))]:
            one = lessons[number]
            if label is None:
                assert trainer.undo("alice", one.key, soon()) == (one.key in known)
                known.pop(one.key, None)
            else:
                trainer.learn("alice", replace(one, label=label), soon())
                known[one.key] = label
            kept = store.load("alice", soon())
            counts = Counter(known.values())
            assert (kept.ham, kept.spam) == (counts[Label.HAM], counts[Label.SPAM])
            assert {one.key: one.label for one in store.journal("alice", soon())} == known
        if kept.number:
            assert kept.state == CLASSIFIER.empty().encode()


def test_features_that_a_change_repeats_take_no_room_twice(store: SqliteStore) -> None:
    one = lesson(store, "alice", 1, Label.SPAM)
    Trainer(store, CLASSIFIER).learn("alice", one, soon())
    known = store.entry("alice", one.key, soon())
    assert known is not None
    [(size,)] = _sql(store, "SELECT length(packed) FROM journal")
    assert int(str(size)) < 0.7 * (len(known.features) + len(known.change))


def test_a_file_of_a_later_version_is_left_alone(store: SqliteStore) -> None:
    assert store.users(soon()) == []
    _sql(store, "PRAGMA user_version = 2")
    store.close()
    with pytest.raises(StoreError, match=r"bayes\.sqlite: is of version 2; expected 1"):
        store.load("alice", soon())
    assert store.path.exists()


def test_all_of_the_group_may_use_the_file_and_nobody_else(store: SqliteStore) -> None:
    store.path.parent.chmod(0o2770)
    store.save("alice", store.load("alice", soon()), soon(), add=entry("one"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in store.path.parent.iterdir()}
    assert modes == {f"bayes.sqlite{part}": 0o660 for part in ("", "-wal", "-shm")}


def test_nothing_of_who_is_forgotten_is_left_in_the_files(store: SqliteStore) -> None:
    secret = os.urandom(64)
    kept = replace(store.load("alice@example.test", soon()), state=secret * 50)
    store.save("alice@example.test", kept, soon(), add=replace(entry("one"), key=secret))
    other = replace(store.load("bob", soon()), state=b"other")
    store.save("bob", other, soon(), add=entry("two"))

    def written() -> bytes:
        return b"".join(file.read_bytes() for file in store.path.parent.iterdir())

    assert secret in written()
    assert store.forget("alice@example.test", soon())
    assert secret not in written()
    assert b"alice@example" not in written()
    assert store.load("bob", soon()).state == b"other"


def test_a_lock_is_waited_for_until_the_deadline(store: SqliteStore) -> None:
    store.save("alice", store.load("alice", soon()), soon())
    kept = store.load("alice", soon())
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked"):
            store.save("alice", kept, Deadline.after(0.05))
        assert store.load("alice", soon()) == kept, "who reads waits for nobody"
        other.execute("ROLLBACK")
    assert store.save("alice", kept, soon())


def test_a_folder_that_is_missing_is_told(tmp_path: Path, notes: list[str]) -> None:
    store = SqliteStore(tmp_path / "missing/bayes.sqlite", note=notes.append)
    with pytest.raises(StoreError, match=r"missing/bayes\.sqlite: .*No such file"):
        store.load("alice", soon())
    assert len(notes) == 1
