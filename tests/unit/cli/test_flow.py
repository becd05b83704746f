"""`iems flow` as far as it needs no Postfix; holding and releasing are in tests/integration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli import flow
from cli.main import main
from iems.serve.deadline import Deadline
from iems.store.counterfile import CounterFile

SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
milter = {{ state = "{state}" }}
"""


@pytest.fixture
def settings(tmp_path: Path) -> str:
    file = tmp_path / "iems.toml"
    file.write_text(SETTINGS.format(state=tmp_path / "state"))
    return str(file)


def test_accounts_that_are_held_are_listed(
    settings: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    counters = CounterFile(tmp_path / "state/counters.sqlite", lambda: 1_800_000_000.0)
    assert main(["--settings", settings, "flow", "list"]) == 0
    assert capsys.readouterr().out == ""
    counters.hold("b\nb\u00e4", "too many", Deadline.after(60))
    assert main(["--settings", settings, "flow", "list"]) == 0
    assert capsys.readouterr().out == "b?b\u00e4  2027-01-15 08:00:00Z  too many\n"
    assert main(["--settings", settings, "flow", "list", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row == {"user": "b\nb\u00e4", "since": 1_800_000_000.0, "why": "too many"}


def test_the_file_is_closed_before_root_is_root_again(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever closes it last writes it, and removes files by their names."""
    (tmp_path / "state").mkdir()
    seen: list[str] = []
    close = CounterFile.close

    @contextmanager
    def as_owner(_folder: Path) -> Iterator[None]:
        seen.append("owner")
        yield
        seen.append("root")

    def closed(self: CounterFile) -> None:
        close(self)
        seen.append("closed")

    monkeypatch.setattr(flow, "as_owner", as_owner)
    monkeypatch.setattr(CounterFile, "close", closed)
    assert main(["--settings", settings, "flow", "list"]) == 0
    assert seen == ["owner", "closed", "root"]


def test_without_a_state_nobody_knows(settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings", settings, "flow", "list"]) == 75
    assert "state" in capsys.readouterr().err


def test_who_is_held_by_hand_is_not_told_of(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue, which is Postfix's, is empty here."""
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(flow, "instances", list)
    assert main(["--settings", settings, "flow", "hold", "Bob@example.test"]) == 0
    [bob] = CounterFile(tmp_path / "state/counters.sqlite").held(Deadline.after(60))
    assert (bob.user, bob.told) == ("bob@example.test", True)


def test_who_is_held_meanwhile_is_looked_for_as_well(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that is being started is not started anew, and so nobody else would."""
    (tmp_path / "state").mkdir()
    counters = CounterFile(tmp_path / "state/counters.sqlite")
    counters.hold("first", "too many", Deadline.after(60))
    asked: list[list[str]] = []

    def queued(_verb: str, users: list[str]) -> int:
        asked.append(list(users))
        counters.hold("second", "too many", Deadline.after(60))
        return len(users)

    monkeypatch.setattr(flow, "_queued", queued)
    assert main(["--settings", settings, "flow", "hold"]) == 0
    assert asked == [["first"], ["second"]]
