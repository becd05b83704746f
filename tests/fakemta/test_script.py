"""The script language: what is read, and what is no command."""

from __future__ import annotations

import pytest

from tests.fakemta.message import Change, HeaderField, Insert, Message
from tests.fakemta.script import Connect, Header, Mail, Rcpt, ScriptError, parse


def test_commands_with_options_comments_and_folds() -> None:
    lines = parse(
        "# purpose: all forms\n"
        "connect 192.0.2.1 unknown daemon=submission resolve=TEMP ptr=x.example\n"
        "\n"
        'mail <"a=b"@sender.example> auth=alice\n'
        "rcpt <c@example.test>\n"
        "header Subject:  two blanks\n"
        "\tand a fold\n"
        r"header X-Bytes: \xe4" + "\n"
    )
    assert [line.command for line in lines] == [
        Connect("192.0.2.1", "unknown", "submission", "TEMP", "x.example"),
        Mail('<"a=b"@sender.example>', "alice"),
        Rcpt("<c@example.test>"),
        Header(b"Subject", b"  two blanks\r\n\tand a fold"),
        Header(b"X-Bytes", b" \xe4"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "mail a@b",
        "connect 192.0.2.1",
        "rcpt <a> why=not",
        "quit now",
        "header no colon",
    ],
)
def test_a_line_that_is_no_command_is_named(line: str) -> None:
    with pytest.raises(ScriptError, match="line 2"):
        parse(f"helo x\n{line}\n")


def test_insertions_count_our_received_and_changes_do_not() -> None:
    message = Message("a@b", header=[HeaderField(b"Received", b" first")])
    message.received(b"ours")
    message.apply((Insert(1, b"X", b" 1"), Change(b"received", 1, b" changed")))
    assert [one.raw for one in message.header] == [
        b"Received: ours",
        b"X: 1",
        b"received: changed",
    ]
