"""Sieve text as a tree: the grammar, its bounds, and that printing and reading are inverse."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sieve.script.grammar import COMMANDS, TESTS
from sieve.script.parser import MAX_NESTING, MAX_OCTETS, SieveError, parse
from sieve.script.printer import to_text
from sieve.script.tree import Command, Number, Script, Tag, Text, Texts, command, nodes
from sieve.script.tree import Test as Asked
from tests.integration.stack.programs import run
from tests.unit.sieve.trees import ANY_SCRIPT, EVERY_NAME, SOUND_SCRIPT, UNDRAWN

HAND_WRITTEN = b"""\xef\xbb\xbf# Mine.
#
require ["fileinto" , "imap4flags"];  # what I need
Require "relational"; /* and
this */

# Friends
/* and
 * family */
IF AnyOf ( header :Contains ["Subject", "x"] "y", NOT size :over 2k ,
    address :count "ge" /* here */ "to" ["10"])
{ FileInto text: # a text
Inbox/"Friends"
..dot
.single
.
; keep
; }
elsif true { } else { discard; }
# The end
"""


def test_a_script_written_by_hand() -> None:
    script = parse(HAND_WRITTEN.replace(b"\n", b"\r\n"))
    assert script == parse(HAND_WRITTEN)
    assert script == Script(
        (
            Command(
                "if",
                (),
                Asked(
                    "anyof",
                    (),
                    (
                        Asked("header", (Tag("contains"), Texts.of("Subject", "x"), Text("y"))),
                        Asked("not", (), (Asked("size", (Tag("over"), Number(2048))),)),
                        Asked("address", (Tag("count"), Text("ge"), Text("to"), Text("10"))),
                    ),
                ),
                (
                    command("fileinto", Text('Inbox/"Friends"\n.dot\n.single\n')),
                    command("keep"),
                ),
                ("Friends", "and", "family"),
            ),
            Command("elsif", (), Asked("true"), ()),
            Command("else", (), None, (command("discard"),)),
        ),
        ("Mine.", ""),
    )


@pytest.mark.parametrize(
    ("text", "top", "above"),
    [
        ("# a\nkeep;", (), ("a",)),
        ("# a\n\nkeep;", ("a",), ()),
        ("# a\n\n# b\nkeep;", ("a",), ("b",)),
        ("# a\n\n# b\n# c\n \n# d\nkeep;", ("a", "b", "c"), ("d",)),
        ("# a\nrequire 'x';\n\nkeep;".replace("'", '"'), ("a",), ()),
        ("# a\n# b\nrequire 'x'; # c\n# d\n\n# e\nkeep;".replace("'", '"'), ("a", "b"), ("d", "e")),
        ("/* a */ keep; # b", (), ("a",)),
    ],
)
def test_comments_belong_to_the_script_or_to_what_they_touch(
    text: str, top: tuple[str, ...], above: tuple[str, ...]
) -> None:
    assert parse(text.encode()) == Script((Command("keep", comment=above),), top)


def test_strings_are_what_they_mean() -> None:
    def meant(text: str, required: str = "") -> Text:
        (one,) = parse(f'require "{required}"; x {text};'.encode()).commands
        (argument,) = one.arguments
        assert isinstance(argument, Text)
        return argument

    assert meant(r'"a\"b\\c\d"') == Text('a"b\\cd')
    assert meant('["one"]') == Text("one")
    assert meant('"${x} ${hex:41}"') == Text("${x} ${hex:41}")
    assert meant('"${x} ${hex:41}"', "variables") == Text("${x} ${hex:41}", expand=True)
    assert meant('"${hex:41}"', "variables") == Text("${hex:41}")
    assert meant('"${hex:24 7b}x} ${HEX: c3  bc }${unicode:41 6f22}"', "encoded-character") == Text(
        "${x} üA漢"
    )
    assert meant('"${hex:} ${hex:1g} ${unicode}"', "encoded-character") == Text(
        "${hex:} ${hex:1g} ${unicode}"
    )


def test_a_dollar_that_the_printer_set_is_a_dollar() -> None:
    head = 'require ["variables"]; set "dollar" "$"; '
    assert parse(f'{head}redirect "${{DOLLAR}}{{x}} $";'.encode()) == Script(
        (command("redirect", Text("${x} $")),)
    )
    assert parse(f'{head}redirect "${{dollar}}{{x}} ${{y}}";'.encode()) == Script(
        (command("redirect", Text("${dollar}{x} ${y}", expand=True)),)
    )
    with pytest.raises(SieveError, match="set again"):
        parse(f'{head}if true {{ set "Dollar" "5"; }}'.encode())
    with pytest.raises(SieveError, match=r"line 2: .*set nowhere"):
        parse(b'require "variables";\nredirect "${Dollar}{x}";\nkeep;')
    kept = parse(b'require "variables"; set "dollar" "5"; redirect "${dollar}{x}";')
    assert kept.commands[1] == command("redirect", Text("${dollar}{x}", expand=True))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"keep;\nkeep", 2, "the end stands where ';' or '{' is expected"),
        (b'keep;\n\nfileinto "x;\n', 3, "this string has no end"),
        (b"\nreject text:\nx\n..\n", 2, "no line with a dot alone"),
        (b"keep;\n\xff", 2, "no UTF-8"),
        (b"keep;\r\nst\0op;", 2, "NUL"),
        (b'keep;\nredirect "a\rb";', 2, "carriage return alone"),
        (b"keep; /* no end", 1, "'/' is not expected"),
        (b"if true { keep;\n", 2, "the end stands where a command is expected"),
        (b"keep; }", 1, "'}' stands where a command is expected"),
        (b'keep; require "x";', 1, "'require' stands before all other commands"),
        (b"require 5;", 1, "followed by the names"),
        (b"size :over 10x;", 1, "'1' is not expected"),
        (b"size :over 4G;", 1, "is more than 2147483647"),
        (b"size :over " + b"9" * 5000 + b";", 1, "is more than 2147483647"),
        (b"if (true, false) { }", 1, "'if' has one test"),
        (b"if anyof () { }", 1, "a test is expected"),
        (b"header [];", 1, "a string is expected"),
        (b'header ["a" "b"];', 1, "',' or ']'"),
        (b'require "encoded-character"; x "${hex:ff}";', 1, "is no character"),
        (b'require "encoded-character"; x "${unicode:d800}";', 1, "is no character"),
        (b'require "encoded-character"; x "${unicode:110000}";', 1, "is no character"),
        (b"if true {" * (MAX_NESTING + 1), 1, "nested more than"),
        (b"if " + b"not " * 100_000, 1, "nested more than"),
        (b" " * (MAX_OCTETS + 1), 1, "octets"),
    ],
)
def test_what_is_no_sieve_is_told_with_its_line(text: bytes, line: int, message: str) -> None:
    with pytest.raises(SieveError, match=f"^line {line}: .*{re.escape(message)}"):
        parse(text)


def test_numbers_may_begin_with_zeros() -> None:
    assert parse(b"x " + b"0" * 100 + b"17 000;").commands[0].arguments == (Number(17), Number(0))


@pytest.mark.parametrize(
    "piece",
    [
        b"/**/", b"#\n", b'"\\', b'"', b"text:\n.", b"${hex: 1 ", b"${hex:", b"[", b"(", b"a ",
        b":a", b"9", b"\n", b"/*", b'"${dollar}{', b"{", b"\xc3\xbc", b"keep;#", b'"a",',
    ],
)  # fmt: skip
def test_no_text_takes_long(piece: bytes) -> None:
    head = b'require ["encoded-character", "variables"]; set "dollar" "$"; x "'
    many = piece * (200_000 // len(piece))
    for text in (many, head + many + b'";', head + many):
        begin = time.process_time()
        with contextlib.suppress(SieveError):
            parse(text)
        assert time.process_time() - begin < 5


@settings(max_examples=20)
@given(ANY_SCRIPT)
def test_what_is_printed_is_read_as_it_was(script: Script) -> None:
    printed = to_text(script)
    assert parse(printed.encode()) == script
    assert parse(printed.replace("\n", "\r\n").encode()) == script


def test_the_server_takes_what_is_printed_of_every_name() -> None:
    drawn: set[str] = set()

    @settings(max_examples=12)
    @example([EVERY_NAME])
    @given(st.lists(SOUND_SCRIPT, min_size=1, max_size=8))
    def law(scripts: list[Script]) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for number, script in enumerate(scripts):
                printed = to_text(script)
                assert parse(printed.encode()) == script
                (folder / f"{number}.sieve").write_text(printed)
                drawn.update(one.name for one in nodes(script.commands))
            run("sievec", "-c", "/dev/null", "-x", "+vacation-seconds", folder)
            assert len(list(folder.glob("*.svbin"))) == len(scripts)

    law()
    assert drawn == {*COMMANDS, *TESTS} - UNDRAWN
