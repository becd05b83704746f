"""The filter's store in a file: by several processes, killed, full, damaged, and in other hands."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest

from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Limits, Store
from tests.bayeskept import Made, StoreContract, TrainingContract


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
