"""From one store into another: all of a user or nothing, and only where there is nothing of him."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from lmtp.bayes.copying import copy
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Entry, StoreError
from lmtp.bayes.training import Done, Trainer
from tests.bayeskept import CLASSIFIER, lesson, soon


@pytest.fixture
def old(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "old.sqlite")) as store:
        yield store


@pytest.fixture
def new(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "new.sqlite")) as store:
        yield store


def test_training_goes_on_where_it_was_copied_to(old: SqliteStore, new: SqliteStore) -> None:
    lessons = [lesson(old, "alice", number, Label.SPAM) for number in range(3)]
    for one in lessons:
        Trainer(old, CLASSIFIER).learn("alice", one, soon())
    assert old.load("x", soon()).salt != new.load("x", soon()).salt
    assert copy(old, new) == 1
    before, now = old.load("alice", soon()), new.load("alice", soon())
    assert replace(now, number=before.number) == before, "with the salt of his words"
    assert new.journal("alice", soon()) == old.journal("alice", soon())
    assert Trainer(new, CLASSIFIER).learn("alice", lessons[1], soon()) is Done.KNOWN
    assert Trainer(new, CLASSIFIER).undo("alice", lessons[1].key, soon())
    assert copy(old, new) == 0
    assert new.load("alice", soon()).spam == 2, "what is there stays"
    assert new.set_aside("alice", new.load("alice", soon()).number, "test", soon())
    assert copy(old, new) == 0
    assert len(new.journal("alice", soon())) == 2, "of which training makes a state"


def test_who_is_damaged_is_left_out(old: SqliteStore, new: SqliteStore) -> None:
    for user in ("alice", "bob"):
        Trainer(old, CLASSIFIER).learn(user, lesson(old, user, 1, Label.HAM), soon())
    with closing(sqlite3.connect(old.path, isolation_level=None)) as file:
        file.execute("UPDATE user SET ham = 2 WHERE user = 'alice'")
    assert copy(old, new) == 1
    assert new.users(soon()) == ["bob"]


class Busy(SqliteStore):
    """One in which somebody trains whenever a journal is read, so many times."""

    times = 0

    def journal(self, user: str, deadline: Deadline) -> list[Entry]:
        """What it was a moment ago."""
        entries = super().journal(user, deadline)
        if self.times:
            self.times -= 1
            one = lesson(self, user, 100 + self.times, Label.HAM)
            Trainer(SqliteStore(self.path), CLASSIFIER).learn(user, one, soon())
        return entries


def test_a_user_who_trains_meanwhile_is_copied_as_he_is_at_one_moment(
    tmp_path: Path, new: SqliteStore
) -> None:
    with closing(Busy(tmp_path / "busy.sqlite")) as busy:
        Trainer(SqliteStore(busy.path), CLASSIFIER).learn(
            "alice", lesson(busy, "alice", 1, Label.HAM), soon()
        )
        busy.times = 3
        assert copy(busy, new) == 1
        assert new.load("alice", soon()).ham == len(new.journal("alice", soon())) == 4
        busy.times = 1000
        new.forget("alice", soon())
        with pytest.raises(StoreError, match="alice: others train at the same time"):
            copy(busy, new)
        assert new.users(soon()) == []
