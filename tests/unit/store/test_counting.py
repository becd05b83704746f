"""Which counters the settings name, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.model.server import Server
from iems.settings.read import SettingsError, read_table
from iems.settings.shared import SharedSettings
from iems.store.counterfile import CounterFile
from iems.store.counterserver import CounterServer
from iems.store.counting import connect, seldom


def settings(**given: object) -> SharedSettings:
    return read_table(SharedSettings, given, "counters")


def test_a_file_counts_where_no_server_does(tmp_path: Path) -> None:
    assert isinstance(connect(settings(), tmp_path), CounterFile)
    assert isinstance(connect(settings(server=""), tmp_path), CounterFile)
    made = connect(settings(server="inet:192.0.2.1:6379"), tmp_path)
    assert isinstance(made, CounterServer)
    assert list(tmp_path.iterdir()) == [], "nothing is opened"


@pytest.mark.parametrize(
    "server", ["redis.example.org:6379", "inet:localhost:6379", "unix:x", 6379]
)
def test_what_is_no_server(server: object) -> None:
    with pytest.raises(SettingsError, match=r"counters\.server is "):
        settings(server=server)
    assert settings(server="inet:[::1]:6379").server == Server(ip="::1", port=6379)


@pytest.mark.parametrize(("text", "why"), [(None, "No such file"), ("\n", "is empty; expected")])
def test_who_logs_in_needs_a_password(tmp_path: Path, text: str | None, why: str) -> None:
    file = tmp_path / "password"
    if text is not None:
        file.write_text(text)
    given = settings(server="unix:/s", user="iems", password_file=str(file))
    with pytest.raises(SettingsError, match=why):
        connect(given, tmp_path)
    connect(settings(server="unix:/s", password_file=str(file)), tmp_path)
    connect(settings(user="iems", password_file=str(file)), tmp_path)


def test_the_same_failure_is_told_once_in_a_while() -> None:
    notes: list[str] = []
    now = 5.0
    note = seldom(notes.append, lambda: now)
    for now in (5.0, 6.0, 14.9, 15.0, 15.1, 40.0):
        note(f"at {now}")
    assert notes == ["at 5.0", "at 15.0", "at 40.0"]
