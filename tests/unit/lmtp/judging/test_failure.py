"""What is wrong with a filter costs its finding, and no mail and hardly any time."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import time
from dataclasses import dataclass, replace
from typing import Any

import pytest

from iems.serve.deadline import Deadline
from lmtp.bayes import memory, sqlitestore
from lmtp.bayes.memory import Memory
from lmtp.bayes.store import Kept, Store, StoreError
from tests.unit.lmtp.judging.conftest import (
    Filters,
    judge_of,
)


class Broken:
    """A store that fails in one way."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0

    def load(self, _user: str, _deadline: Deadline) -> Kept:
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "cause"), [(StoreError("gone"), "store"), (ZeroDivisionError("ours"), "internal")]
)
def test_a_store_that_fails_costs_the_finding_alone(
    filters: Filters, error: Exception, cause: str
) -> None:
    broken = Broken(error)
    one = filters.with_judge(store=broken)
    assert one.deliver("alice", "bob")[0].startswith("250")
    assert one.actions() == {"alice": "deliver", "bob": "deliver"}
    assert one.found("alice")["band"] == "temperror"
    assert one.failures(cause) >= 1
    assert cause in str(one.office.log.lines) or "not judged" in str(one.office.log.lines)


def test_a_store_that_has_failed_is_left_alone(filters: Filters) -> None:
    """One message waits for it, and no other for a while; then it is asked again."""
    broken = Broken(StoreError("gone"))
    one = filters.with_judge(store=broken)
    for _ in range(3):
        one.deliver("alice", "bob")
    assert (broken.asked, one.failures("store")) == (1, 1)
    one.judge.unread._until = 0.0
    one.deliver("alice")
    assert broken.asked == 2


@pytest.mark.parametrize("way", ["locked", "rubbish", "missing", "no file", "silent", "closed"])
def test_a_store_in_any_state_costs_the_finding_alone(
    filters: Filters, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last two, which are servers, one says nothing and one is not there."""
    monkeypatch.setattr("lmtp.judging.PATIENCE", 0.2)
    folder, server = filters.folder, ""
    file = folder / sqlitestore.FILE
    with contextlib.ExitStack() as held:
        match way:
            case "locked":
                holder = held.enter_context(contextlib.closing(sqlite3.connect(file)))
                holder.execute("PRAGMA locking_mode = EXCLUSIVE")
                holder.execute("BEGIN EXCLUSIVE")
            case "rubbish":
                file.write_bytes(b"no database at all" * 10_000)
            case "missing":
                folder = folder / "none"
            case "no file":
                file.unlink()
                file.mkdir()
            case _:
                listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
                server = f"inet:127.0.0.1:{listener.getsockname()[1]}"
                if way == "closed":
                    listener.close()
        office, judge = judge_of(filters.office, folder, filters.meter, server=server)
        one = replace(filters, office=office)
        begun = time.monotonic()
        for _ in range(3):
            assert one.deliver("alice", "bob") == ["250 2.0.0 Saved"] * 2
        assert one.found("alice")["band"] == "temperror"
        assert one.failures("store") == 1
        assert "filter is not available" in str(one.office.log.lines)
        judge.store.close()
    assert time.monotonic() - begun < 30


def test_a_policy_may_act_on_what_is_not_known(filters: Filters) -> None:
    table: dict[str, Any] = {"default": {"temperror": "tag"}}
    office, _judge = judge_of(filters.office, filters.folder, filters.meter, **table)
    one = replace(filters, office=office).with_judge(store=Broken(StoreError("gone")))
    one.deliver("alice")
    assert one.actions() == {"alice": "tag"}


def test_a_damaged_state_is_one_user_s_alone(filters: Filters) -> None:
    with sqlite3.connect(filters.folder / sqlitestore.FILE) as connection:
        connection.execute("UPDATE user SET state = x'00' WHERE user = 'alice@b.test'")
    connection.close()
    filters.deliver("alice", "shadow")
    assert filters.found("alice")["band"] == "temperror"
    assert filters.found("shadow")["band"] in {"spam", "certain"}
    assert filters.failures("damaged") == 1
    assert any("alice@b.test" in line for line in filters.office.log.lines if "warning" in line)


def test_a_classifier_that_is_no_more_is_told(filters: Filters) -> None:
    filters.with_judge(classifiers={}).deliver("alice")
    assert filters.found("alice")["band"] == "temperror"


def test_there_is_an_end_to_the_time_for_a_message(filters: Filters) -> None:
    """Recipients for whom nothing is left are told of, and get their mail."""

    @dataclass
    class Slow:
        store: Store
        clock: list[float]

        def load(self, user: str, deadline: Deadline) -> Kept:
            self.clock[0] += 3.0
            return self.store.load(user, replace(deadline, at=clock[0] + 60.0))

    clock = [time.monotonic()]
    one = filters.with_judge(store=Slow(filters.store, clock))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("iems.serve.deadline.time.monotonic", lambda: clock[0])
        answers = one.deliver("alice", "bob", "fresh", "shadow")
    assert all(answer.startswith("250") for answer in answers)
    assert one.found("alice")["band"] in {"spam", "certain"}
    assert one.found("shadow")["reason"] == "there was no time left"
    assert one.failures("late") >= 1


@pytest.mark.parametrize("way", ["locked", "missing", "rubbish", "full"])
def test_a_memory_that_fails_costs_nothing(filters: Filters, way: str) -> None:
    file = filters.folder / memory.FILE
    holder = None
    if way == "locked":
        filters.deliver("bob")
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
    elif way == "missing":
        one = filters.with_judge(memory=Memory(filters.folder / "none" / memory.FILE))
        assert one.deliver("alice")[0].startswith("250")
        assert one.failures("memory") == 1
        return
    elif way == "rubbish":
        file.write_bytes(b"no database at all" * 1000)
    else:
        file.mkdir()
    assert filters.deliver("alice")[0].startswith("250")
    assert filters.actions()["alice"] == "junk"
    assert filters.failures("memory") == 1
    assert filters.deliver("alice")[0].startswith("250")
    assert filters.failures("memory") == 1
    if holder is not None:
        holder.close()


def test_a_defect_of_the_memory_costs_nothing(filters: Filters) -> None:
    class Defect:
        def add(self, _seen: object, _deadline: Deadline) -> None:
            raise ZeroDivisionError

    one = filters.with_judge(memory=Defect())
    assert one.deliver("alice") == ["250 2.0.0 Saved"]
    assert one.actions() == {"alice": "junk"}
    assert one.failures("internal") == 1
