"""`iems backup` and `iems restore`: who may, what they print, with which exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import backup, restore
from cli.main import main
from iems.backup.archive import ArchiveError
from iems.backup.restore import OccupiedError
from iems.backup.site import Site, Summary
from iems.backup.slapd import SlapdError
from iems.store.records import RecordsError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The least that is a settings file, for a suite that is installed."""
    monkeypatch.setattr(backup, "version", lambda _name: "0")
    monkeypatch.setattr(restore, "PASSWORDS", tmp_path / "passwords")
    path = tmp_path / "iems.toml"
    path.write_text('version = 1\nhostname = "mail.a.test"\npostmaster = "postmaster@a.test"\n')
    return path


def raising(error: Exception) -> Callable[..., Summary]:
    """What fails so."""

    def act(*_words: object, **_options: object) -> Summary:
        raise error

    return act


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_only_root_may(
    settings: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for module, name in ((backup, "save"), (restore, "restore")):
        monkeypatch.setattr(module, name, raising(AssertionError("it was tried")))
    assert main(["--settings", str(settings), command, "a.tar.gz"]) == 77
    assert "only root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileExistsError("a.tar.gz exists"), 1),
        (OSError(28, "No space left on device"), 1),
        (ArchiveError("no archive"), 1),
        (SlapdError("slapcat: no"), 75),
        (RecordsError("locked"), 75),
        (OccupiedError("users who are not in the backup: eve"), 1),
    ],
)
def test_what_went_wrong_is_told(
    settings: Path,
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(restore, "restore", raising(error))
    assert main(["--settings", str(settings), "restore", "a.tar.gz"]) == code
    assert str(error) in capsys.readouterr().err


def test_a_directory_that_is_a_file_is_for_the_administrator_to_copy(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    settings.write_text(settings.read_text() + 'directory.kind = "toml"\n')
    assert main(["--settings", str(settings), "backup", "a.tar.gz"]) == 78
    assert "directory.toml" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
def test_the_summary_is_printed(
    settings: Path,
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    seen: list[tuple[Site, Path]] = []

    def save(here: Site, file: Path, _progress: object) -> Summary:
        seen.append((here, file))
        return Summary(domains=1, users=2, messages=3)

    monkeypatch.setattr(backup, "save", save)
    words = ["--settings", str(settings), "backup", "a.tar.gz", "--mail", "/srv/mail"]
    assert main([*words, *(["--json"] if as_json else [])]) == 0
    out = capsys.readouterr().out
    if as_json:
        told = json.loads(out)
        assert (told["file"], told["users"], told["messages"]) == ("a.tar.gz", 2, 3)
    else:
        assert out.startswith("saved a.tar.gz: 1 domains, 2 users,")
    [(here, file)] = seen
    assert (here.mail, here.slapd.base, file) == (Path("/srv/mail"), "o=iems", Path("a.tar.gz"))


def test_force_is_passed_on(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    seen: list[bool] = []

    def act(_here: Site, _file: Path, _progress: object, *, force: bool) -> Summary:
        seen.append(force)
        return Summary()

    monkeypatch.setattr(restore, "restore", act)
    for more in ([], ["--force"]):
        assert main(["--settings", str(settings), "restore", "a.tar.gz", *more]) == 0
    assert seen == [False, True]


def test_passwords_that_are_none_any_more_are_set_aside(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that `make mailserver` made for users whom the backup has with their own."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    passwords = settings.with_name("passwords")
    passwords.write_text("bob@a.test secret\n")
    monkeypatch.setattr(restore, "restore", raising(ArchiveError("no archive")))
    assert main(["--settings", str(settings), "restore", "a.tar.gz"]) == 1
    assert passwords.exists()
    monkeypatch.setattr(restore, "restore", lambda *_words, **_options: Summary())
    assert main(["--settings", str(settings), "restore", "a.tar.gz"]) == 0
    assert not passwords.exists()
    assert settings.with_name("passwords.previous").read_text() == "bob@a.test secret\n"
    assert str(passwords) in capsys.readouterr().err


def test_rules_that_are_to_be_compiled_are_told(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for rules in (0, 1):
        summary = Summary(rules=rules)
        monkeypatch.setattr(restore, "restore", lambda *_words, one=summary, **_options: one)
        assert main(["--settings", str(settings), "restore", "a.tar.gz"]) == 0
        assert ("iems mailsort install --site" in capsys.readouterr().err) == bool(rules)


def test_progress_is_for_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show = backup.progress()
    show(500, 1 << 20)
    assert capsys.readouterr().err == ""
