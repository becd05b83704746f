"""Who is deleted is forgotten by the training daemon, or it is said how that is done later."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from cli.bayes import leaving
from cli.bayes.leaving import forget
from iems.settings.bayes import BayesSettings
from iems.settings.read import read_table
from lmtp.bayes.score import Label
from lmtp.bayes.training import Trainer
from tests.bayeskept import CLASSIFIER, lesson, soon
from tests.unit.learning.test_worker import Bench


def settings(folder: Path) -> BayesSettings:
    return read_table(BayesSettings, {"store": str(folder), "socket": f"{folder}/s"}, "bayes")


def test_the_daemon_forgets_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = Bench(tmp_path)
    for user in ("alice@a.test", "bob@a.test", "eve@a.test"):
        one = lesson(daemon.store, user, 1, Label.SPAM)
        Trainer(daemon.store, CLASSIFIER).learn(user, one, soon())
    with daemon.serving():
        forget(["alice@a.test", "nobody@a.test", "eve@a.test"], settings(tmp_path))
    assert daemon.store.users(soon()) == ["bob@a.test"]
    assert capsys.readouterr().err == ""


def test_a_daemon_that_does_not_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(["alice@a.test"], settings(tmp_path))
    assert capsys.readouterr().err == "", "nobody has ever trained here"
    (tmp_path / "bayes.sqlite").touch()
    forget(["alice@a.test", "bob@a.test"], settings(tmp_path))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "the filter of bob@a.test is kept: cannot reach " in lines[1]
    assert lines[1].endswith("later: iems bayes reset bob@a.test")


def test_a_daemon_that_takes_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Bench(tmp_path)
    daemon.store.users(soon())
    daemon.queue._most = 0
    with daemon.serving():
        forget(["alice@a.test", "bob@a.test"], settings(tmp_path))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "the filter of bob@a.test is kept: the queue is full" in lines[1]


def test_a_daemon_that_is_silent_is_waited_for_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "_SECONDS", 0.01)
    (tmp_path / "bayes.sqlite").touch()
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(f"{tmp_path}/s")
        silent.listen()
        silent.setblocking(False)
        forget(["alice@a.test", "bob@a.test"], settings(tmp_path))
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert capsys.readouterr().err.count("is kept: the peer is silent; later") == 2
