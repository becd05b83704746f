"""What the settings of the filter name, and that nothing is opened before it is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.settings.bayes import CLASSIFIERS as NAMES
from iems.settings.bayes import BayesSettings
from iems.settings.read import SettingsError, read_table
from lmtp.bayes.classifier import CLASSIFIERS, DEFAULT
from lmtp.bayes.redisstore import RedisStore
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.trained import classifier, connect_memory, connect_store


def settings(**given: object) -> BayesSettings:
    return read_table(BayesSettings, given, "bayes")


def test_a_file_keeps_it_where_no_server_does(tmp_path: Path) -> None:
    given = settings(store=str(tmp_path))
    store, _memory = connect_store(given), connect_memory(given)
    assert isinstance(store, SqliteStore)
    assert store.path == tmp_path / "bayes.sqlite"
    shared = connect_store(settings(store=str(tmp_path), server="inet:192.0.2.1:6379"))
    assert isinstance(shared, RedisStore)
    assert list(tmp_path.iterdir()) == [], "nothing is opened"


def test_who_logs_in_needs_a_password(tmp_path: Path) -> None:
    missing = str(tmp_path / "password")
    with pytest.raises(SettingsError, match="password: cannot be read"):
        connect_store(settings(server="unix:/s", user="iems", password_file=missing))
    connect_store(settings(user="iems", password_file=missing))


def test_the_settings_name_every_classifier_the_default_first() -> None:
    assert set(NAMES) == set(CLASSIFIERS)
    assert NAMES[0] == DEFAULT
    assert [classifier(settings(classifier=name)).name for name in NAMES] == list(NAMES)
    with pytest.raises(SettingsError, match=r"bayes\.classifier is 'best'; expected one of "):
        settings(classifier="best")
