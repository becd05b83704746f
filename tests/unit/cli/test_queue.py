"""`iems queue`: who may, what a filter means, what is alike, and a queue of any size."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from cli import queued
from cli.alike import Groups, each
from cli.main import main
from cli.postfix import PostfixError
from cli.queue import _wild
from cli.queued import Filter, Instance, Message, Recipient, messages

NOW = 1_800_000_000.0
ROW = {
    "queue_name": "hold",
    "queue_id": "4Q",
    "arrival_time": 5,
    "message_size": 7,
    "sender": "MAILER-DAEMON",
    "recipients": [{"address": "a@b"}],
}
"""A line of postqueue(1)."""
HERE = Instance("postfix", Path("/etc/postfix"), Path("/var/spool/postfix"))


def message(*reasons: str, age: float = 60.0, domain: str = "one.test") -> Message:
    """A deferred one, with a recipient for each reason."""
    to = tuple(Recipient(f"r{number}@{domain}", one) for number, one in enumerate(reasons))
    return Message("postfix", "deferred", "4Q", NOW - age, 10, "a@sender.example", to, "internet")


def lines(*found: Message, by: tuple[str, ...] = ("reason",)) -> list[str]:
    """The table for people."""
    groups = Groups(by, NOW)
    for one in found:
        groups.add(one)
    return list(groups.lines(["postfix"]))


def told(rows: str) -> str:
    """A program that says `rows` instead of postqueue(1)."""
    return f"#!{sys.executable}\nimport sys\n{rows}\n"


@pytest.fixture
def postqueue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is asked instead of postqueue(1)."""
    file = tmp_path / "postqueue"
    file.touch()
    file.chmod(0o755)
    monkeypatch.setattr(queued, "program", lambda _name: str(file))
    return file


def test_reasons_are_alike_but_for_what_is_each_messages_own() -> None:
    text = (
        "host mx.one.test[192.0.2.1] said: 450 4.2.0 <{}>: later; reference {} (in reply to RCPT)"
    )
    reasons = [text.format(f"r{number}@x", f"4GXYZ123AB{number}Q") for number in range(3)]
    three = [message(one, age=age) for one, age in zip(reasons, (60, 180, 120), strict=True)]
    table = lines(*three, message("connect to mx1234567.one.test[192.0.2.1]:25: refused", age=7200))
    assert table == [
        "messages  oldest  reason",
        "3         3m      host mx.one.test[192.0.2.1] said: 450 4.2.0 *: later; "
        "reference * (in reply to RCPT)",
        "1         2h      connect to mx1234567.one.test[192.0.2.1]:25: refused",
        "postfix: 4 messages, 40 bytes",
    ]


@pytest.mark.parametrize(
    ("age", "band"),
    [(0, "<1h"), (3600, "<4h"), (4 * 3600, "<1d"), (86400, "<3d"), (3 * 86400, ">3d")],
)
def test_messages_are_alike_by_their_age(age: float, band: str) -> None:
    assert lines(message("x", age=age), by=("age",))[1].split()[-1] == band


def test_a_message_counts_once_in_a_group() -> None:
    table = lines(message("refused", "refused", "timed out"))
    assert [one.split()[0] for one in table[1:3]] == ["1", "1"]
    assert table[-1] == "postfix: 1 messages, 10 bytes"
    assert lines() == ["postfix: 0 messages, 0 bytes"]


def test_nothing_of_a_stranger_reaches_the_terminal() -> None:
    hostile = "\x1b[2J\n4Z postfix\u202e\x9b31m"
    one = message(hostile, domain=f"x{hostile}.test")
    for text in (each(one, NOW), *lines(one, by=("domain", "reason"))):
        assert text.isprintable()
    assert "?[2J?4Z" in each(one, NOW)


def test_an_address_in_the_filter() -> None:
    assert _wild("<>")("")
    assert not _wild("<>")("a@b")
    assert _wild("A.*@b")("a.x@B")
    assert not _wild("a.*@b")("ax@b")
    assert not _wild("a@b")("xa@b")


@pytest.mark.parametrize("option", ["--reason", "--sender", "--recipient", "--domain"])
def test_an_empty_filter_is_none(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable of the shell that nobody has set does not choose every message."""
    with pytest.raises(SystemExit) as ended:
        main(["queue", "delete", "--yes", option, ""])
    assert ended.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err


def test_domains_are_compared_as_addresses_are() -> None:
    one = message("x", domain="BÜCHER.example")
    assert Filter(domain="xn--bcher-kva.example").chosen(one) is not None
    assert Filter(domain="example").chosen(one) is None


def test_only_the_recipients_who_are_meant_are_told() -> None:
    chosen = Filter(reason="TIMED").chosen(message("refused", "timed out"))
    assert chosen is not None
    assert [one.address for one in chosen.recipients] == ["r1@one.test"]


def test_a_queue_is_read_as_it_is_told(postqueue: Path, tmp_path: Path) -> None:
    """The program ends its first message and waits: a reader that wants all would wait for ever."""
    os.mkfifo(tmp_path / "go")
    line = json.dumps(ROW)
    postqueue.write_text(
        told(f"print({line!r}, flush=True)\nopen({str(tmp_path / 'go')!r}).read()\n"
             f"for _ in range(20000): print({line!r})")
    )  # fmt: skip
    found = messages(HERE)
    assert next(found) == Message("postfix", "hold", "4Q", 5.0, 7, "", (Recipient("a@b"),))
    (tmp_path / "go").write_text("")
    assert sum(1 for _one in found) == 20000


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("print('{')", "tells what cannot be read"),
        ("print('[]')", "tells what cannot be read"),
        ("print('{\"queue_id\": 1}')", "tells what cannot be read"),
        (f"print({json.dumps({**ROW, 'queue_id': '-c/tmp'})!r})", "tells what cannot be read"),
        ("sys.exit(69)", "ended with 69"),
    ],
)
def test_a_postqueue_that_tells_nothing_is_an_error(postqueue: Path, rows: str, words: str) -> None:
    postqueue.write_text(told(rows))
    with pytest.raises(PostfixError, match=words):
        list(messages(HERE))


def test_a_postqueue_that_hangs_is_ended(postqueue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "LIMIT", 0.2)
    postqueue.write_text(told("sys.stdin.close(); import signal; signal.pause()"))
    with pytest.raises(PostfixError, match="ended with -9"):
        list(messages(HERE))


def test_it_is_for_root_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["queue"]) == 77
    assert "only root" in capsys.readouterr().err
