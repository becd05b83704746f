"""`iems bayes` as root beside iems-bayes under its own user: it trains, tells and takes back."""

from __future__ import annotations

import json
import mailbox
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from tests.integration.stack.daemons import Daemon, Site, trainer
from tests.integration.stack.ground import BAYES_USER, GROUP, Ground, owned, running
from tests.unit.learning.test_worker import message

ALICE, BOB, OFF = (f"{name}@command.box.test" for name in ("alice", "bob", "off"))
_SETTINGS = """
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
kind = "toml"
file = "{file}"
[checks.bayes]
mode = "delegate"
"""
_DIRECTORY = f"""
[domains."command.box.test"]
[users."{ALICE}"]
[users."{BOB}"]
[users."{OFF}"]
bayes = "off"
"""


@dataclass
class Desk:
    """Where root sits."""

    site: Site
    daemon: Daemon
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str | Path) -> int:
        """The exit code; what was printed is kept."""
        settings = ["--settings", str(self.site.etc / "iems.toml")]
        code = main([*settings, "bayes", *map(str, words)])
        told = self.capsys.readouterr()
        self.out, self.err = told.out, told.err
        return code

    def status(self, user: str) -> dict[str, Any]:
        """What is told of a user."""
        self.run("status", user, "--json")
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture(scope="module")
def serving(ground: Ground) -> Iterator[tuple[Site, Daemon]]:
    """The daemon."""
    sockets = owned(ground.place("command-sockets"), "root", GROUP, 0o755)
    site = Site(ground, sockets, "", name="command-")
    site.write("directory.toml", _DIRECTORY)
    site.write("iems.toml", _SETTINGS.format(file=site.etc / "directory.toml"))
    with running(trainer(site)) as daemon:
        yield site, daemon


@pytest.fixture
def desk(serving: tuple[Site, Daemon], capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(*serving, capsys)


def test_old_mail_is_trained_told_taken_back_moved_and_forgotten(
    desk: Desk, tmp_path: Path
) -> None:
    ham = mailbox.Maildir(tmp_path / "Maildir")
    for number in range(12):
        ham.add(message(number))
    spam = mailbox.mbox(tmp_path / "spam")
    for number in range(100, 112):
        spam.add(message(number))
    spam.close()
    words = ("train", ALICE, "--ham", tmp_path / "Maildir", "--spam", tmp_path / "spam")
    assert desk.run(*words) == 0, desk.err
    assert desk.out.endswith("/s): 24 learned\n")
    assert desk.run(*words) == 0, desk.err
    assert desk.out.endswith("/s): 24 known already\n")
    told = desk.status(ALICE)
    assert (told["ham"], told["spam"], told["mode"]) == (12, 12, "on")
    (tmp_path / "one").write_bytes(message(105))
    assert desk.run("explain", ALICE, tmp_path / "one") == 0
    assert desk.out.startswith("spam: probability ")
    assert "\ntrained as spam on " in desk.out
    assert desk.run("export", ALICE) == 0
    (tmp_path / "export").write_text(desk.out)
    assert desk.run("undo", ALICE, tmp_path / "one") == 0
    assert desk.status(ALICE)["spam"] == 11
    assert desk.run("reset", ALICE, "--yes") == 0
    assert desk.run("status", ALICE) == 1
    assert desk.run("import", BOB, tmp_path / "export") == 0, desk.err
    assert (desk.status(BOB)["ham"], desk.status(BOB)["spam"]) == (12, 12)
    assert desk.run("curve", BOB, "--html", tmp_path / "curve") == 0
    assert desk.run("status") == 0
    assert [line.split()[:3] for line in desk.out.splitlines()[1:-1]] == [[BOB, "12", "12"]]


def test_what_root_makes_there_is_the_daemon_s(ground: Ground, tmp_path: Path) -> None:
    """It has made nothing yet when root looks."""
    folder = owned(ground.place("command-empty"), BAYES_USER, BAYES_USER, 0o2770)
    (tmp_path / "directory.toml").write_text(_DIRECTORY)
    text = _SETTINGS.format(file=tmp_path / "directory.toml")
    (tmp_path / "iems.toml").write_text(f'{text}[bayes]\nstore = "{folder}"\n')
    assert main(["--settings", str(tmp_path / "iems.toml"), "bayes", "status", ALICE]) == 1
    made = {one.name: (one.owner(), one.group(), one.stat().st_mode) for one in folder.iterdir()}
    assert {"bayes.sqlite", "memory.sqlite"} <= made.keys()
    assert set(made.values()) == {(BAYES_USER, BAYES_USER, 0o100660)}


def test_a_maildir_of_another_user_is_trained_whole(desk: Desk) -> None:
    """It is read with his rights, with which nobody may ask the daemon."""
    folder = desk.site.ground.place("command-maildir")
    box = mailbox.Maildir(folder / "Maildir")
    for number in range(300):
        box.add(message(1000 + number))
    for one in (folder, *folder.rglob("*")):
        os.chown(one, 65534, 65534)
    assert desk.run("train", BOB, "--ham", folder / "Maildir") == 0, desk.err
    assert desk.out.endswith("/s): 300 learned\n")


@pytest.mark.parametrize("user", [OFF, "nobody@command.box.test"])
def test_who_has_no_filter_is_taught_nothing(desk: Desk, tmp_path: Path, user: str) -> None:
    (tmp_path / "one").write_bytes(message(1))
    assert desk.run("train", user, "--ham", tmp_path / "one") == 1
    assert f"{user}: not trained: off" in desk.err
    assert desk.run("status", user) == 1
