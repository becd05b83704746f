"""`iems mailsort edit` with editors that are programs, on the whole server."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

import pytest

from cli.main import main
from sieve.installing.sealed import NAME
from sieve.mailsort.rule import (
    AddressTest,
    HeaderTest,
    Mailsort,
    Move,
    Operator,
    Party,
    Reject,
    Rule,
)
from sieve.mailsort.write import to_toml
from tests.integration.conftest import Fresh
from tests.integration.ruled import Person, about, person
from tests.integration.stack.mailsystem import MailSystem

ONE, TWO = (to_toml(Mailsort((Rule(name, about(name), (Move(name),)),))) for name in ("One", "Two"))
SUBJECTS = tuple(character * 900 for character in "abc")
LONG = Rule("long", HeaderTest("Subject", Operator.IS, SUBJECTS), (Move("Two"),))


@pytest.fixture
def alice(mailsystem: MailSystem, fresh: Fresh) -> Person:
    mailsystem.add_domain(fresh.domain)
    return person(mailsystem, fresh, "alice", sieve_max_script_size="2K")


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files to be edited are."""
    folder = tmp_path / "drafts"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.delenv("VISUAL", raising=False)
    return folder


def editor(folder: Path, text: str, code: int = 0) -> str:
    """The command of one that puts this text into its last file, keeping what was there, and ends
    with this code.
    """
    (folder / "wanted").write_text(text)
    script = folder / "my editor"
    seen, wanted = shlex.quote(str(folder / "seen")), shlex.quote(str(folder / "wanted"))
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --wait ] || exit 9\ncp "$2" {seen}\ncp {wanted} "$2"\nexit {code}\n'
    )
    script.chmod(0o755)
    return f"{shlex.quote(str(script))} --wait"


def edit(one: Person) -> int:
    """How it ends."""
    return main(["--settings", str(one.system.site.settings), "mailsort", "edit", one.box.user])


def stored(one: Person) -> str:
    return one.system.iems("mailsort", "show", one.box.user).decode()


def test_what_the_editor_leaves_is_installed(
    alice: Person, drafts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the rules as they are; VISUAL comes before EDITOR; no file is left."""
    monkeypatch.setenv("EDITOR", editor(tmp_path, ONE))
    assert edit(alice) == 0
    monkeypatch.setenv("VISUAL", editor(tmp_path, TWO))
    monkeypatch.setenv("EDITOR", "false")
    assert edit(alice) == 0
    assert (tmp_path / "seen").read_text() == ONE
    assert stored(alice).strip() == TWO.strip()
    with alice.his_own() as scripts:
        assert b'"Two"' in (scripts.get(NAME) or b"")
    assert not list(drafts.iterdir())


def test_what_is_not_taken_is_left_for_another_try(
    alice: Person,
    drafts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a file for root alone: what is no rules, with its line, and what the server refuses."""
    monkeypatch.setenv("EDITOR", editor(tmp_path, ONE))
    assert edit(alice) == 0
    before = stored(alice)
    for text, told in (
        (ONE + '\n[[rule]]\ncolour = "red"\n', "colour"),
        (to_toml(Mailsort((LONG,))), "the server says"),
    ):
        assert stored(alice) == before
        capsys.readouterr()
        monkeypatch.setenv("EDITOR", editor(tmp_path, text))
        assert edit(alice) == 1
        error = capsys.readouterr().err
        [draft] = drafts.iterdir()
        assert told in error
        assert str(draft) in error
        assert draft.read_text() == text
        assert draft.stat().st_mode & 0o777 == 0o600
        draft.unlink()


@pytest.mark.parametrize("how", ["it ends with an error", "it is not there", "it is no command"])
def test_an_editor_that_fails_changes_nothing(
    alice: Person,
    drafts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    commands = {
        "it ends with an error": editor(tmp_path, ONE, 3),
        "it is not there": "/nowhere/editor",
        "it is no command": "'",
    }
    before = stored(alice)
    monkeypatch.setenv("EDITOR", commands[how])
    assert edit(alice) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert stored(alice) == before
    assert not list(drafts.iterdir())


def test_who_is_allowed_by_the_list_is_told(
    alice: Person,
    drafts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And not who is on it without a rule, nor whom a rule alone refuses."""
    for address in ("friend@sender.example", "other@sender.example"):
        alice.system.iems("sender", "allow", alice.box.user, address)
    alice.system.iems("sender", "block", alice.box.user, "foe@sender.example")
    names = ("foe@sender.example", "friend@sender.example", "new@sender.example")
    refused = AddressTest(Party.ENVELOPE_FROM, Operator.IS, names)
    rules = Mailsort((Rule("no", refused, (Reject("No."),)),))
    monkeypatch.setenv("EDITOR", editor(tmp_path, to_toml(rules)))
    assert edit(alice) == 0
    error = capsys.readouterr().err
    assert [line for line in error.splitlines() if "counts first" in line] == [
        f"iems: warning: a rule refuses friend@sender.example, and the list of senders of "
        f"{alice.box.user} allows it, which counts first"
    ]
    assert not list(drafts.iterdir())


def test_a_folder_in_the_place_of_a_file_is_told(alice: Person, tmp_path: Path) -> None:
    user = alice.box.user
    for words in (("mailsort", "set", user), ("vacation", "on", user, "--text-file")):
        done = alice.system.iems_ends(*words, str(tmp_path))
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert b"Is a directory" in done.stderr
