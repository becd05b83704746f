"""The filter's store on a real Redis, gone or lying too; and its files on a disk that is full."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from cli.check import live
from cli.check.row import Row
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.settings.load import load
from iems.store.resp import Login, Resp
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.redisstore import RedisStore
from lmtp.bayes.score import Label, Score, Verdict
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import MAX_ASIDE, DamagedError, Entry, Limits, Store, StoreError
from lmtp.bayes.training import Trainer
from tests.bayeskept import (
    CLASSIFIER,
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
from tests.conftest import ROOT
from tests.integration.conftest import Fresh
from tests.integration.stack.faults import Disk, hanging
from tests.integration.stack.ground import AGENT_USER, Ground, owned, running
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.redis import Redis
from tests.integration.stack.smtp import send
from tests.waiting import eventually

SITE = 'version = 1\nhostname = "mail.a.test"\npostmaster = "postmaster@a.test"\n'

_LATE = 5.0
"""Seconds that a busy machine may need beyond a deadline."""

_PREFIXES = (f"kept{number}:" for number in itertools.count())


@pytest.fixture(scope="module")
def redis(ground: Ground) -> Iterator[Redis]:
    with running(Redis(ground)) as server:
        yield server


def kept_on(redis: Redis, limits: Limits, notes: list[str] | None = None) -> RedisStore:
    """A store with a prefix of its own."""
    server = Resp(Server.parse(redis.address), Login())
    told = [] if notes is None else notes
    return RedisStore(server, redis.address, next(_PREFIXES), limits, told.append)


@pytest.fixture(scope="module")
def made(redis: Redis) -> Made:
    @contextmanager
    def make(limits: Limits) -> Iterator[RedisStore]:
        with closing(kept_on(redis, limits)) as store:
            yield store

    return make


def _key(store: Store, rest: str) -> str:
    return cast("RedisStore", store)._prefix.decode() + rest


@pytest.fixture
def spoil(redis: Redis) -> Callable[[Store, str], None]:
    def spoil(store: Store, user: str) -> None:
        assert redis.ask("HINCRBY", _key(store, f"user:{user}"), "ham", "1").startswith(":")

    return spoil


@pytest.fixture
def aside(redis: Redis) -> Callable[[Store], int]:
    def count(store: Store) -> int:
        keys = redis.ask("KEYS", _key(store, "aside:*"))
        assert redis.ask("ZCARD", _key(store, "asides")) == ":" + keys[1:].split("\r\n")[0] + "\r\n"
        return int(keys[1:].split("\r\n")[0])

    return count


class TestRedisStore(StoreContract):
    """It does what all stores do."""


class TestTraining(TrainingContract):
    """Over it."""


def _train(store: Store, user: str, name: str) -> bool:
    return store.save(user, store.load(user, soon()), soon(), add=entry(name))


def test_nobody_waits_longer_than_he_can(redis: Redis) -> None:
    notes: list[str] = []
    with closing(kept_on(redis, Limits(), notes)) as store:
        assert _train(store, "alice", "one")
        with hanging(redis.server):
            began = time.monotonic()
            with pytest.raises(StoreError, match="gives no answer in time") as error:
                store.load("alice", Deadline.after(0.2))
            with pytest.raises(StoreError, match="was silent"):
                store.save("alice", store.load("alice", soon()), Deadline.after(0.2))
            assert time.monotonic() - began < 0.2 + _LATE
    assert notes[0] == str(error.value)


def test_a_server_that_is_gone_is_told_and_what_it_wrote_down_is_there_again(
    ground: Ground,
) -> None:
    kept = Redis(ground, "appendonly yes\nappendfsync always")
    with running(kept) as server, closing(kept_on(server, Limits())) as store:
        assert _train(store, "alice", "one")
        before = store.load("alice", soon())
        server.server.kill()
        for use in (store.load, store.journal, store.forget):
            with pytest.raises(StoreError, match="cannot be asked: "):
                use("alice", soon())
        with pytest.raises(StoreError, match="cannot be asked: "):
            store.users(soon())
        server.start()
        assert store.load("alice", soon()) == before
        assert len(store.journal("alice", soon())) == 1


def test_who_logs_in_needs_no_more_than_the_page_says(ground: Ground) -> None:
    page = (ROOT / "docs/bayes.md").read_text()
    [rights] = re.findall(r"^user iems on >PASSWORD (resetchannels .*)$", page, re.MULTILINE)
    lines = f"user default off\nuser iems on >secret {rights}"
    with running(Redis(ground, lines)) as server:

        def store(prefix: str, login: Login) -> closing[RedisStore]:
            link = Resp(Server.parse(server.address), login)
            return closing(RedisStore(link, server.address, prefix, Limits(entries=1)))

        with store("iems:", Login("iems", "secret")) as good:
            for name in ("one", "two"):
                assert _train(good, "alice", name)
            assert good.entry("alice", b"two", soon()) == good.journal("alice", soon())[0]
            for user in ("alice", *(f"user{number}" for number in range(MAX_ASIDE + 1))):
                assert user == "alice" or _train(good, user, "one")
                assert good.set_aside(user, good.load(user, soon()).number, "test", soon())
            kept = good.load("alice", soon())
            assert good.replace("alice", kept, [entry("three", time=1.0)], soon())
            assert good.expire(NOW, soon()) == 1
            assert good.users(soon())[0] == "alice"
            assert good.forget("alice", soon())
        for prefix, login, why in (
            ("x:", Login("iems", "secret"), "NOPERM"),
            ("iems:", Login(), "NOAUTH|unauthenticated"),
            ("iems:", Login("iems", "wrong"), ": takes no login: WRONGPASS"),
        ):
            with store(prefix, login) as bad, pytest.raises(StoreError, match=why):
                bad.load("alice", soon())


def test_iems_check_live_asks_the_server_that_keeps_it(redis: Redis, tmp_path: Path) -> None:
    def told(server: str) -> list[Row]:
        given = f'[bayes]\nstore = "{tmp_path}"\nserver = "{server}"\n'
        (tmp_path / "iems.toml").write_text(f"{SITE}{given}")
        return list(live._filters(load(tmp_path / "iems.toml")))

    assert told("") == []
    assert told(redis.address) == [Row("filters", ok=True, text=f"{redis.address} answers")]
    [row] = told(f"unix:{tmp_path}/none")
    assert not row.ok
    assert row.text.startswith("no filter of a user says anything: ")


@pytest.mark.timeout(180)
def test_agents_judge_by_what_was_trained_on_the_server(
    mailsystem: MailSystem, ground: Ground, fresh: Fresh
) -> None:
    """And when it is gone, mail is delivered as without a filter."""
    mailsystem.add_domain(fresh.domain)
    box = mailsystem.add_user(fresh.address("alice"))
    folder = owned(ground.place("shared"), "root", AGENT_USER, 0o2770)

    def why() -> str:
        """Nothing, as long as no record is written: those of mail that is delivered come later."""
        done = mailsystem.iems_ends("why", "<1@sender.example>", "--recipient", box.user)
        return done.stdout.decode()

    def sent(number: int) -> None:
        client = (fresh.ip, "mx.sender.example")
        told = send(
            mailsystem.port(), "a@sender.example", [box.user], message(number), client=client
        )
        assert told.accepted

    with running(Redis(ground)) as server, closing(kept_on(server, Limits())) as store:
        for number in range(24):
            label = Label.SPAM if number % 2 else Label.HAM
            one = replace(lesson(store, box.user, number % 2, label), key=bytes([number + 1]) * 16)
            Trainer(store, CLASSIFIER).learn(box.user, one, soon())
        prefix = store._prefix.decode().removesuffix("bayes:")
        given = f'store = "{folder}"\nserver = "{server.address}"\nprefix = "{prefix}"\n'
        with mailsystem.settings(
            "z-shared", f'[checks.bayes]\nmode = "delegate"\n[bayes]\n{given}'
        ):
            sent(1)
            [junk] = box.wait(folder="Junk")
            assert b"X-IEMS-Verdict: junk" in junk
            assert not (folder / "bayes.sqlite").exists()
            server.server.kill()
            sent(1)
            box.wait()
            eventually(lambda: "what he has trained cannot be read" in why(), 30, why)


def test_what_somebody_else_has_put_there_is_no_training(redis: Redis) -> None:
    with closing(kept_on(redis, Limits())) as store:
        redis.ask("HSET", _key(store, "user:alice"), "number", "many")
        with pytest.raises(DamagedError):
            store.load("alice", soon())
        redis.ask("SET", _key(store, "user:bob"), "1")
        with pytest.raises(StoreError, match="WRONGTYPE"):
            store.load("bob", soon())
        _train(store, "carol", "one")
        _train(store, "carol", "two")
        for damage in ("1.0", "1.0~2~3~4~spam~test".replace("~", " "), "x"):
            redis.ask("HSET", _key(store, "journal:carol"), "one", f'"{damage}"')
            assert store.entry("carol", b"one", soon()) is None
            assert [one.key for one in store.journal("carol", soon())] == [b"two"]


@pytest.mark.parametrize("field", ["number", "classifier", "ham", "time", "sum", "salt", "state"])
@pytest.mark.parametrize("value", ["many", "-7", "007", "9" * 30, None])
def test_no_value_in_a_row_is_more_than_damage(redis: Redis, field: str, value: str | None) -> None:
    with closing(kept_on(redis, Limits())) as store:
        trainer = Trainer(store, CLASSIFIER)
        trainer.learn("alice", lesson(store, "alice", 1, Label.SPAM), soon())
        where = (_key(store, "user:alice"), field)
        redis.ask(*(("HSET", *where, value) if value else ("HDEL", *where)))
        with pytest.raises(DamagedError):
            store.load("alice", soon())
        assert trainer.mend("alice", soon())
        kept = store.load("alice", soon())
        assert kept.state == trained_by_hand(store, "alice").encode()


def test_nothing_of_a_user_is_left_and_all_share_one_salt(redis: Redis) -> None:
    with closing(kept_on(redis, Limits())) as store:
        for user in ("alice", "bob"):
            _train(store, user, "one")
            number = store.load(user, soon()).number
            store.set_aside(user, number, "test", soon())
            _train(store, user, "two")
        assert store.load("alice", soon()).salt == store.load("eve", soon()).salt
        assert len(_keys(redis, store, "*alice*")) == 4
        assert store.forget("alice", soon())
        assert _keys(redis, store, "*alice*") == []
        for name in ("users", "asides"):
            assert redis.ask("ZRANGE", _key(store, name), "0", "-1") == "*1\r\n$3\r\nbob\r\n"
        # What was set aside goes by itself, and nothing else does.
        aging = [key for key in _keys(redis, store, "*") if redis.ask("PTTL", key) != ":-1\r\n"]
        assert aging == [_key(store, "aside:bob")]


def _keys(redis: Redis, store: Store, rest: str) -> list[str]:
    return redis.ask("KEYS", _key(store, rest)).split("\r\n")[2::2]


def test_on_a_full_disk_nothing_is_lost_and_nothing_half_done(tmp_path: Path) -> None:
    """Of the store and of the memory, by whom they were open and by whom they were not."""
    notes: list[str] = []
    with Disk(tmp_path / "disk", owner="root") as disk:
        path, remembered = tmp_path / "disk/bayes.sqlite", tmp_path / "disk/memory.sqlite"
        with (
            closing(SqliteStore(path, note=notes.append)) as store,
            closing(Memory(remembered, notes.append)) as memory,
        ):
            trainer = Trainer(store, CLASSIFIER)
            lessons = [lesson(store, "alice", number, Label.SPAM) for number in range(40)]
            trainer.learn("alice", lessons[0], soon())
            memory.add([_seen("one")], soon())
            with disk.full(), closing(SqliteStore(path)) as other:
                for one in (trainer, Trainer(other, CLASSIFIER)):
                    with pytest.raises(StoreError):
                        _learn_all(one, lessons)
                with pytest.raises(StoreError):
                    _remember_all(memory)
                refused = _room_until(path.with_name("filler"), trainer, lessons[1])
                assert refused > 10
                kept = store.load("alice", soon())
                assert kept.state == trained_by_hand(store, "alice").encode()
            assert any("disk is full" in note for note in notes)
            assert not list(path.parent.glob("*.damaged"))
            _learn_all(trainer, lessons)
            memory.add([_seen("two")], soon())
            assert memory.recall("alice", b"one", b"s" * 16, soon()) is not None
            kept = store.load("alice", soon())
            assert (kept.spam, kept.state) == (40, trained_by_hand(store, "alice").encode())


def _learn_all(trainer: Trainer, lessons: Iterable[Entry]) -> None:
    for one in lessons:
        trainer.learn("alice", one, soon())


def _room_until(filler: Path, trainer: Trainer, one: Entry) -> int:
    """Give the disk page after page until this is learned; how often it was not."""
    size = filler.stat().st_size
    for pages in range(1, 200):
        os.truncate(filler, size - pages * 4096)
        with suppress(StoreError):
            trainer.learn("alice", one, soon())
            return pages
    raise AssertionError("it is never learned")


def _remember_all(memory: Memory) -> None:
    for number in range(4000):
        memory.add([_seen(f"{number}")], soon())


def _seen(name: str) -> Seen:
    score = Score(1.0, 0.7, Verdict.UNSURE)
    return Seen("alice", name.encode(), b"<m@x>", 1.0, score, False, b"s" * 16, bytes(2000))
