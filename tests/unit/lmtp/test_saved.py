"""What users have trained, out of a backup: looked through before anything is written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from iems.backup.archive import ArchiveError
from iems.settings.bayes import BayesSettings
from iems.settings.read import read_table
from lmtp.bayes import sqlitestore
from lmtp.bayes.score import Label
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.training import Trainer
from lmtp.saved import Filters
from tests.bayeskept import CLASSIFIER, lesson, soon

ALICE = "alice@example.test"


def test_what_no_store_would_take_is_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    filters = Filters(read_table(BayesSettings, {"store": str(tmp_path / "here")}, "bayes"))
    with closing(SqliteStore(tmp_path / "copy")) as copy, monkeypatch.context() as patched:
        Trainer(copy, CLASSIFIER).learn(ALICE, lesson(copy, ALICE, 1, Label.SPAM), soon())
        assert filters.check(tmp_path / "copy") == 1
        kept, entries = copy.load(ALICE, soon()), copy.journal(ALICE, soon())
        kept = replace(kept, salt=kept.salt * 2)
        patched.setattr(sqlitestore, "checked", lambda *_given: None)
        assert copy.replace(ALICE, kept, entries, soon())
    with pytest.raises(ArchiveError, match="copy is no file of what users have trained"):
        filters.check(tmp_path / "copy")
