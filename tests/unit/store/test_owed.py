"""Who is still to be told of which viruses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from iems.store.owed import MOST, Event, Owed, OwedError

EVENT = Event(100.0, "received", "a@x.test", "b@b.test", "s", "Eicar", "refused", "REF")


@pytest.fixture
def owed(tmp_path: Path) -> Iterator[Owed]:
    with closing(Owed(tmp_path / "viruses.sqlite")) as file:
        yield file


def test_who_waits_longest_comes_first_and_who_was_told_waits(owed: Owed) -> None:
    owed.add([("bob", replace(EVENT, time=200.0)), ("alice", EVENT), ("carol", EVENT)])
    assert owed.due(0, 200, 9) == ["alice", "carol", "bob"]
    assert owed.due(0, 200, 1) == ["alice"]
    assert owed.take("alice", 300.0) == ([EVENT], 0)
    owed.add([("alice", replace(EVENT, time=301.0))])
    assert owed.due(300, 400, 9) == ["carol", "bob"]
    assert owed.due(301, 400, 9) == ["carol", "bob", "alice"]
    assert owed.due(100, 299, 9) == ["carol", "bob", "alice"], "by a clock that was set back"
    assert (owed.told(300, 400), owed.told(301, 400)) == (1, 0)


def test_of_many_only_the_number_is_kept_until_they_are_told(owed: Owed) -> None:
    events = [replace(EVENT, time=float(at)) for at in range(MOST + 7)]
    owed.add([("alice", one) for one in events])
    assert owed.take("alice", 1.0) == (events[:MOST], 7)
    assert owed.take("alice", 2.0) == ([], 0)


def test_texts_of_a_virus_are_short_and_may_be_any_bytes(owed: Owed) -> None:
    """A wave of long subjects fills no disk, and no sender keeps his virus from being refused."""
    odd = replace(EVENT, sender="\udcff@x.test", subject="\xfc" * 100_000)
    owed.add([("alice", odd)])
    assert owed.take("alice", 1.0) == ([replace(EVENT, sender="?@x.test", subject="\xfc" * 500)], 0)


def test_what_is_given_back_was_not_told(owed: Owed) -> None:
    owed.add([("alice", EVENT)] * (MOST + 2))
    taken = owed.take("alice", 1000.0)
    assert owed.due(0, 2000, 9) == []
    owed.give_back("alice", *taken)
    assert owed.due(0, 2000, 9) == ["alice"]
    assert owed.take("alice", 2000.0) == taken


def test_what_is_old_is_forgotten_and_nothing_else(owed: Owed) -> None:
    owed.add([("alice", EVENT), ("bob", replace(EVENT, time=500.0))])
    owed.add([("carol", replace(EVENT, time=500.0))])
    owed.take("carol", 510.0)
    owed.forget(200.0, 520.0)
    assert owed.due(0, 600, 9) == ["bob"]
    assert owed.told(0, 600) == 0


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OwedError, match="unable to open"):
        Owed(tmp_path / "nowhere" / "viruses.sqlite")
    path = tmp_path / "viruses.sqlite"
    with closing(Owed(path)) as one, closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE event")
        with pytest.raises(OwedError, match="no such table"):
            one.add([("alice", EVENT)])
        other.execute("CREATE TABLE event (person TEXT)")
        with pytest.raises(OwedError):
            one.add([("bob", EVENT)])
        assert other.execute("SELECT count(*) FROM person").fetchone() == (0,), "rolled back"
