"""`iems edit strip`: a filter of messages without a server."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from cli.main import main
from tests.unit.mime.test_tree import EVIL, MIXED

MESSAGE = MIXED + b"\r\n--b\r\n" + EVIL + b"\r\n--b--\r\n"
RESULT = (
    MIXED + b"\r\n--b\r\nContent-Type: text/plain; charset=us-ascii\r\n"
    b"Content-Transfer-Encoding: 7bit\r\nContent-Disposition: inline\r\n\r\n"
    b"The attachment evil.exe (application/x, 2 bytes) was removed by the rule %s.\r\n--b--\r\n"
)


def strip(monkeypatch: pytest.MonkeyPatch, data: bytes, *options: object) -> int:
    """The exit code for this message."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["--settings", "/nowhere", "edit", "strip", *map(str, options)])


@pytest.mark.parametrize(
    "options",
    [
        ("--name", "*.com", "--name", "*.exe"),
        ("--pattern", "^evil"),
        ("--extension", "exe"),
        ("--type", "application/*"),
        ("--content", "executable"),
        ("--larger", 1),
        ("--name", "*.exe", "--content", "dos"),
    ],
)
def test_options_are_a_rule(
    options: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert strip(monkeypatch, MESSAGE, *options) == 0
    assert capsysbinary.readouterr() == (RESULT % b"options", b"")


@pytest.mark.parametrize(
    "options",
    [
        ("--name", "*.exe", "--content", "pdf"),
        ("--double-extension",),
        ("--fault", "encrypted"),
        ("--larger", 2),
    ],
)
def test_all_of_a_rule_has_to_hold(
    options: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert strip(monkeypatch, MESSAGE, *options) == 0
    assert capsysbinary.readouterr() == (MESSAGE, b"")


def test_rules_and_a_notice_of_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    rules, notice = tmp_path / "rules.toml", tmp_path / "notice"
    rules.write_text('[locked]\nfault = ["encrypted"]\n[programs]\nextension = ["exe"]\n')
    notice.write_text("$rule: $name\n")
    assert strip(monkeypatch, MESSAGE, "--rules", rules, "--notice", notice) == 0
    assert b"\r\n\r\nprograms: evil.exe\r\n--b--" in capsysbinary.readouterr().out


def test_malformed_mail_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = b"Content-Type: text/plain\r\n" + MESSAGE
    assert strip(monkeypatch, data, "--name", "*.exe") == 1
    told = capsysbinary.readouterr()
    assert not told.out
    assert told.err.startswith(b"iems: rejected: malformed: readers disagree about its structure: ")


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ("x", b"iems: %s: Expected '=' after a key in a key/value pair"),
        ("x = 1", b"iems: %s: x: expected a table, as in [x]"),
        ("[x]", b"iems: rule x: expected one of name, "),
        ("", b"iems: there is no rule"),
        (None, b"iems: %s: No such file or directory"),
    ],
)
def test_rules_that_cannot_be_meant(
    rules: str | None,
    fault: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    file = tmp_path / "rules.toml"
    if rules is not None:
        file.write_text(rules)
    assert strip(monkeypatch, MESSAGE, "--rules", file) == 2
    told = capsysbinary.readouterr()
    assert told.err.startswith(fault.replace(b"%s", str(file).encode()))
    assert not told.out
