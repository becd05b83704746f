"""Filters are mended though nobody trains, each for itself, by a job of the daemon."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from iems.serve.control import Control
from iems.serve.deadline import Deadline
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Kept, StoreError
from lmtp.bayes.training import Trainer
from lmtp.learning.main import TrainingService
from lmtp.learning.mending import of_filters
from tests.bayeskept import CLASSIFIER, lesson, soon
from tests.unit.lmtp.parts import Heard


class Stubborn(SqliteStore):
    """One in which one user cannot be read."""

    def load(self, user: str, deadline: Deadline) -> Kept:
        """What is kept of the others."""
        if user == "bob":
            raise StoreError("bob cannot be read")
        return super().load(user, deadline)


def test_all_are_mended_but_who_cannot_be(tmp_path: Path) -> None:
    notes: list[str] = []
    with closing(SqliteStore(tmp_path / "bayes.sqlite")) as store:
        for user in ("alice", "bob", "carol", "dora"):
            Trainer(store, CLASSIFIER).learn(user, lesson(store, user, 1, Label.SPAM), soon())
        with closing(sqlite3.connect(store.path, isolation_level=None)) as file:
            file.execute("UPDATE user SET state = x'00' WHERE user != 'dora'")
        with closing(Stubborn(store.path)) as stubborn:
            job = of_filters(Trainer(stubborn, CLASSIFIER, notes.append))
            with pytest.raises(StoreError, match="bob cannot be read"):
                job.run(soon())
        assert [store.load(user, soon()).spam for user in ("alice", "carol", "dora")] == [1] * 3
        assert len(notes) == 4, "two are set aside and made anew"
        of_filters(Trainer(store, CLASSIFIER, notes.append)).run(soon())
        assert store.load("bob", soon()).spam == 1


def test_the_daemon_has_a_job_that_mends(tmp_path: Path) -> None:
    (tmp_path / "directory.toml").write_text('[domains."b.test"]\n')
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.b.test"\npostmaster = "postmaster@b.test"\n'
        f'directory = {{ kind = "toml", file = "{tmp_path}/directory.toml" }}\n'
        f'bayes.store = "{tmp_path}"\n'
    )
    with closing(SqliteStore(tmp_path / "bayes.sqlite")) as store:
        Trainer(store, CLASSIFIER).learn("alice", lesson(store, "alice", 1, Label.HAM), soon())
        with closing(sqlite3.connect(store.path, isolation_level=None)) as file:
            file.execute("UPDATE user SET spam = 7")
        log = Heard()
        jobs = TrainingService(tmp_path / "iems.toml").prepare().jobs(Control(), log)
        [job] = [one for one in jobs if one.name == "mending"]
        job.run(soon())
        assert store.load("alice", soon()).ham == 1
    assert ["what is kept of alice is damaged" in line for line in log.lines] == [True, False]
