"""What is kept for the filter: to read a state, to train, and to remember a message.

States are those of the default classifier, of 200 users. One process, as
many operations of each kind as `--messages` in each of `--rounds`, in a file with every training on
disk, and on a Redis that writes nothing down, by its unix socket. The ways take turns.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.store.resp import Login, Resp
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.redisstore import RedisStore
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Entry, Store
from lmtp.bayes.tokens import tokens
from lmtp.bayes.training import Trainer
from tests.integration.stack.ground import Ground, running, users
from tests.integration.stack.redis import Redis

_CLASSIFIER = CLASSIFIERS[DEFAULT]
_USERS = 200
_WORDS = 400
"""Words of a message."""

_WARM = 100


def measure(rounds: int, messages: int) -> str:
    """Run everything; the table."""
    users()
    ground = Ground()
    times: dict[str, list[float]] = {}
    try:
        with running(Redis(ground)) as redis:
            folder = ground.place("kept")
            stores: dict[str, Store] = {
                "file": SqliteStore(folder / "bayes.sqlite"),
                "Redis": RedisStore(
                    Resp(Server.parse(redis.address), Login()), redis.address, "bench:"
                ),
            }
            memory = _remembering(folder)
            for store in stores.values():
                _warm(store)
            for number in range(rounds):
                for name, store in stores.items():
                    for kind, act in (("read", _reading(store)), ("trained", _training(store))):
                        where = times.setdefault(f"a state is {kind}, {name}", [])
                        where += _timed(act, number * messages, messages)
                where = times.setdefault("a message is remembered, file", [])
                where += _timed(memory, number * messages, messages)
    finally:
        ground.close()
    rows = [f"| {name} | {_row(spent)} |" for name, spent in times.items()]
    return "\n".join(
        [
            "## What is kept for the filter",
            "",
            "| what | median, µs | 99th percentile, µs | a second |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            f"- one process, {messages} of each, {rounds} rounds",
            "",
        ]
    )


def _message(number: int) -> bytes:
    chance = random.Random(number)
    words = " ".join(f"word{chance.randrange(50_000)}" for _ in range(_WORDS))
    return f"Message-ID: <{number}@sender.example>\r\n\r\n{words}\r\n".encode()


def _features(salt: bytes) -> list[bytes]:
    return [_CLASSIFIER.features(tokens(_message(number)), salt) for number in range(_WARM)]


def _user(number: int) -> str:
    return f"user{number % _USERS}@example.test"


def _soon() -> Deadline:
    return Deadline.after(60.0)


def _entry(number: int, features: Sequence[bytes]) -> Entry:
    label = Label.SPAM if number % 2 else Label.HAM
    key = number.to_bytes(16, "big")
    return Entry(key, label, float(number), "bench", None, features[number % _WARM])


def _warm(store: Store) -> None:
    """A state for each user."""
    features, trainer = _features(store.load("", _soon()).salt), Trainer(store, _CLASSIFIER)
    for number in range(_USERS):
        trainer.learn(_user(number), _entry(number, features), _soon())


def _reading(store: Store) -> Callable[[int], object]:
    return lambda number: store.load(_user(number), _soon())


def _training(store: Store) -> Callable[[int], object]:
    features, trainer = _features(store.load("", _soon()).salt), Trainer(store, _CLASSIFIER)
    return lambda number: trainer.learn(_user(number), _entry(_USERS + number, features), _soon())


def _remembering(folder: Path) -> Callable[[int], object]:
    memory, salt = Memory(folder / "memory.sqlite"), b"s" * 16
    features = _features(salt)
    score = _CLASSIFIER.classify(_CLASSIFIER.empty(), features[0])

    def remember(number: int) -> None:
        key = number.to_bytes(16, "big")
        one = Seen(_user(number), key, key, 1.0, score, False, salt, features[number % _WARM])
        memory.add([one], _soon())

    return remember


def _timed(act: Callable[[int], object], first: int, count: int) -> list[float]:
    times = []
    for number in range(first, first + count):
        began = time.perf_counter()
        act(number)
        times.append(time.perf_counter() - began)
    return times


def _row(times: Sequence[float]) -> str:
    worst = statistics.quantiles(times, n=100)[98]
    mean = statistics.fmean(times)
    return f"{statistics.median(times) * 1e6:.0f} | {worst * 1e6:.0f} | {1 / mean:,.0f}"
