"""`iems probe` without servers: whose password, which server, and where a message is looked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from cli.probe import ProbeError, _accounts, _find, _message, _server
from iems.serve.deadline import Deadline
from iems.settings.load import from_table

LEAST = {
    "version": 1,
    "hostname": "mail.example.test",
    "postmaster": "postmaster@example.test",
}


class Folders:
    """An IMAP session in which a message appears at the n-th look; some folders do not exist."""

    def __init__(self, there: dict[str, bytes], looks: int = 1) -> None:
        self.there = there
        self.looks = looks
        self.selected = ""
        self.steps: list[str] = []

    def select(self, folder: str) -> tuple[str, list[bytes]]:
        self.selected = folder
        return ("OK" if folder in self.there else "NO", [b"1"])

    def search(self, *_words: str | None) -> tuple[str, list[bytes]]:
        assert self.selected in self.there
        self.looks -= 1
        return "OK", [self.there[self.selected] if self.looks <= 0 else b""]

    def store(self, number: str, command: str, flags: str) -> None:
        self.steps.append(f"{self.selected} {number} {command} {flags}")

    def expunge(self) -> None:
        self.steps.append("expunge")


def test_what_is_found_is_deleted_and_a_folder_that_is_missing_is_passed_over() -> None:
    box = Folders({"Junk": b"3 4"}, looks=3)
    found = _find(box, "<m@x>", ("INBOX", "Junk"), Deadline.after(20))  # type: ignore[arg-type]
    assert found == "Junk"
    deleted = [f"Junk {number} +FLAGS \\Deleted" for number in (3, 4)]
    assert box.steps == [*deleted, "expunge"]


def test_what_does_not_come_is_told_with_where_it_was_awaited() -> None:
    box = Folders({"INBOX": b"", "Junk": b""})
    with pytest.raises(ProbeError, match=r"<m@x> did not arrive in INBOX or Junk"):
        _find(box, "<m@x>", ("INBOX", "Junk"), Deadline.after(0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "server"),
    [("127.0.0.1:25", ("127.0.0.1", 25)), ("[::1]:993", ("::1", 993)), ("a.test:1", ("a.test", 1))],
)
def test_servers(text: str, server: tuple[str, int]) -> None:
    assert _server(text) == server


@pytest.mark.parametrize("text", ["", "25", ":25", "host", "host:", "host:smtp"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected HOST:PORT"):
        _server(text)


def test_passwords_may_hold_blanks_and_lines_without_one_are_none(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("\na@b.test one two\nc@d.test\n e@f.test three\n")
    assert _accounts(tmp_path / "passwords") == {"a@b.test": "one two", "e@f.test": "three"}


def test_a_message_says_who_sent_it_and_asks_for_no_answer() -> None:
    message_id, data = _message(from_table(LEAST), "a@b.test", "X-A: 1")
    header, _empty, body = data.partition(b"\r\n\r\n")
    lines = header.split(b"\r\n")
    assert lines[0] == b"X-A: 1"
    assert b"From: IEMS probe <postmaster@example.test>" in lines
    assert b"To: <a@b.test>" in lines
    assert b"Auto-Submitted: auto-generated" in lines
    assert f"Message-ID: {message_id}".encode() in lines
    assert body.endswith(b"\r\n")
    assert message_id != _message(from_table(LEAST), "a@b.test")[0]


@pytest.mark.parametrize("write", [Path.touch, lambda file: file.write_text("x@y.test z")])
def test_without_a_password_nothing_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], None]
) -> None:
    settings = tmp_path / "iems.toml"
    settings.write_text("\n".join(f"{key} = {value!r}" for key, value in LEAST.items()))
    write(tmp_path / "passwords")
    words = ("--passwords", str(tmp_path / "passwords"), "--to", "a@b.test")
    assert main(["--settings", str(settings), "probe", *words]) == 1
    assert "no password of 'a@b.test'" in capsys.readouterr().err
