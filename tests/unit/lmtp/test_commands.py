"""Command lines become values, or an error that carries the reply."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtp.commands import CommandError, Mail, Recipient, parse_mail, parse_rcpt, parse_xforward


def code(parse: Callable[[str], object], written: str) -> int:
    """The code of the error reply, 0 where the line is understood."""
    try:
        parse(written)
    except CommandError as error:
        return error.answer.code
    return 0


def test_mail() -> None:
    assert parse_mail("FROM:<>") == Mail("")
    assert parse_mail("from: <a@b.test> SIZE=10") == Mail("a@b.test", 10)
    written = "FROM:<a@b.test> BODY=8bitmime SMTPUTF8 RET=FULL ENVID=QQ+3D SIZE=7"
    assert parse_mail(written) == Mail("a@b.test", 7, True, True, "FULL", "QQ+3D")
    assert parse_mail('FROM:<"a>b\\"c"@b.test>') == Mail('"a>b\\"c"@b.test')
    assert parse_mail("FROM:<ü@b.test> SMTPUTF8").sender == "ü@b.test"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("FROM:a@b.test", 501),
        ("TO:<a@b.test>", 501),
        ("FROM:<a@b.test", 501),
        ("FROM:<a@b.test>SIZE=1", 501),
        ("FROM:<a\n@b.test>", 501),
        ("FROM:<a@b.test> X\rY=1", 501),
        ("FROM:<a@b.test> SIZE=x", 501),
        ("FROM:<a@b.test> SIZE=1 SIZE=2", 501),
        ("FROM:<a@b.test> BODY=BINARYMIME", 501),
        ("FROM:<a@b.test> RET=ALL", 501),
        (f"FROM:<a@b.test> ENVID={'x' * 101}", 501),
        ("FROM:<a@b.test> AUTH=<>", 555),
        ("FROM:<a@b.test> AUTH=x", 555),
        ("FROM:<a@b.test> SMTPUTF8=1", 555),
        ("FROM:<ü@b.test>", 553),
    ],
)
def test_mail_that_is_none(argument: str, expected: int) -> None:
    assert code(parse_mail, argument) == expected


def test_rcpt() -> None:
    assert parse_rcpt("TO:<a@b.test>", utf8=False) == Recipient("a@b.test")
    written = "TO:<a@b.test> NOTIFY=SUCCESS,failure ORCPT=rfc822;c+2Bd@b.test"
    expected = Recipient(
        "a@b.test", "rfc822;c+2Bd@b.test", "c+d@b.test", frozenset({"SUCCESS", "FAILURE"})
    )
    assert parse_rcpt(written, utf8=False) == expected
    assert parse_rcpt("TO:<a@b.test> ORCPT=utf-8;\\x{FC}@b.test", utf8=False).original == "ü@b.test"
    assert parse_rcpt("TO:<a@b.test> ORCPT=utf-8;ü@b.test", utf8=True).original == "ü@b.test"
    assert parse_rcpt("TO:<a@b.test> ORCPT=rfc822;+C3+BC@b.test", utf8=False).original == "ü@b.test"
    assert parse_rcpt("TO:<a@b.test> ORCPT=x400;whatever", utf8=False).original == ""


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("TO:<>", 501),
        ("TO:<a@b.test> NOTIFY=NEVER,SUCCESS", 501),
        ("TO:<a@b.test> NOTIFY=SOMETIMES", 501),
        ("TO:<a@b.test> ORCPT=noaddress", 501),
        (f"TO:<a@b.test> ORCPT=rfc822;{'x' * 500}", 501),
        ("TO:<a@b.test> SIZE=1", 555),
        ("TO:<ü@b.test>", 553),
        ("TO:<a@b.test>\r\nRCPT TO:<b@b.test>", 501),
    ],
)
def test_rcpt_that_is_none(argument: str, expected: int) -> None:
    assert code(lambda one: parse_rcpt(one, utf8=False), argument) == expected


def test_xforward() -> None:
    written = "NAME=spike.example ADDR=IPV6:2001:db8::1 IDENT=4XyZ HELO=[UNAVAILABLE] PORT=25"
    assert parse_xforward(written) == {
        "NAME": "spike.example",
        "ADDR": "IPV6:2001:db8::1",
        "IDENT": "4XyZ",
        "HELO": "",
        "PORT": "25",
    }
    assert parse_xforward("HELO=a+20b") == {"HELO": "a b"}
    for wrong in ("", "=", "IDENT=a\x01", "LOGIN=x", "IDENT=a IDENT=b"):
        with pytest.raises(CommandError):
            parse_xforward(wrong)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_mail, parse_xforward, lambda one: parse_rcpt(one, utf8=True)):
        for written in (text, f"FROM:<{text}>", f"TO:<{text}>", f"TO:<a@b.test> ORCPT={text}"):
            assert code(parse, written) in {0, 501, 553, 555}


@given(st.text(max_size=60))
def test_no_control_character_comes_through(text: str) -> None:
    try:
        rcpt = parse_rcpt(f"TO:<{text}@b.test>", utf8=True)
    except CommandError:
        return
    assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in rcpt.address)
