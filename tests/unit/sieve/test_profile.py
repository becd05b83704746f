"""What a server lacks is told; the limits of Pigeonhole are those that it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sieve.script.parser import parse
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE, Profile, read_profile
from sieve.script.tree import Command, Number, Script, Tag, Text, command
from sieve.script.tree import Test as Asked
from sieve.script.tree import test as asked
from tests.integration.stack.programs import run

TRUE = asked("true")


def told(script: Script, profile: Profile = PIGEONHOLE) -> list[str]:
    """Each remark as it is printed."""
    return [str(remark) for remark in profile.lacks(script)]


def nested(blocks: int, tests: int) -> Script:
    """That many blocks around `stop`, the innermost with that many tests in each other."""
    test = TRUE
    for _ in range(tests - 1):
        test = Asked("not", (), (test,))
    one = Command("if", (), test, (command("stop"),))
    for _ in range(blocks - 1):
        one = Command("if", (), TRUE, (one,))
    return Script((one,))


def taken(script: Script, folder: Path) -> bool:
    """Whether the real compiler takes it."""
    file = folder / "script.sieve"
    file.write_text(to_text(script))
    try:
        run("sievec", "-c", "/dev/null", file)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize(
    ("right", "beyond", "message"),
    [
        (nested(31, 1), nested(32, 1), "blocks are nested more than 31 deep"),
        (nested(1, 31), nested(1, 32), "tests are nested more than 31 deep"),
        (nested(31, 31), nested(31, 32), "tests are nested more than 31 deep"),
    ],
)
def test_nesting_has_the_servers_bounds(
    tmp_path: Path, right: Script, beyond: Script, message: str
) -> None:
    assert (told(right), taken(right, tmp_path)) == ([], True)
    assert (told(beyond), taken(beyond, tmp_path)) == ([f"error: {message}"], False)


def test_size_has_the_servers_bound(tmp_path: Path) -> None:
    comment = Script((command("stop"),), ("a" * (2**20 - len("# \n\nstop;\n")),))
    assert (told(comment), taken(comment, tmp_path)) == ([], True)
    beyond = replace(comment, comment=(comment.comment[0] + "a",))
    assert taken(beyond, tmp_path) is False
    assert told(beyond) == ["error: the script has 1048577 octets: 1048576 are taken"]


def test_what_the_server_announces_is_in_the_profile(tmp_path: Path) -> None:
    names = ", ".join(f'"{name}"' for name in sorted(PIGEONHOLE.extensions))
    (tmp_path / "all.sieve").write_text(f"require [{names}];")
    run("sievec", "-c", "/dev/null", tmp_path / "all.sieve")


def test_an_extension_that_is_not_there_is_told_with_the_rule() -> None:
    script = Script(
        (
            Command(
                "if",
                (),
                asked("header", Tag("regex"), Text("a"), Text("b")),
                (command("fileinto", Text("x")), command("redirect", Text("${y}", expand=True))),
                ("Invoices", "of all"),
            ),
            Command("else", (), None, (command("ereject", Text("x")),)),
            command("fileinto", Tag("copy"), Text("x")),
        )
    )
    profile = Profile(extensions=frozenset({"fileinto"}))
    assert told(script, profile) == [
        "error: rule \"Invoices\": the server has no extension 'regex', which 'header' needs",
        "error: rule \"Invoices\": the server has no extension 'variables', which 'redirect' needs",
        "error: rule \"Invoices\": the server has no extension 'ereject', which 'ereject' needs",
        "error: the server has no extension 'copy', which 'fileinto' needs",
    ]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('keep "x";', ["'keep' is followed by nothing, its tags apart"]),
        ("fileinto;", ["'fileinto' is followed by a string, its tags apart"]),
        ('fileinto ["a", "b"];', ["'fileinto' is followed by a string, its tags apart"]),
        ('fileinto :flags 5 "a";', ["'flags' of 'fileinto' is followed by strings"]),
        ('vacation :days "x" "y";', ["'days' of 'vacation' is followed by a number"]),
        ("vacation :days;", ["'days' of 'vacation' is followed by a number",
                             "'vacation' is followed by a string, its tags apart"]),
        ('setflag "x" "y"; setflag "y"; if hasflag "x" {}', []),
        ('setflag "x" "y" "z";', ["'setflag' is followed by a string, strings, its tags apart"]),
        ("keep :fast;", ["'keep' has no tag 'fast'"]),
        ("fly;", ["'fly' is no command that is known"]),
        ("if fly {}", ["'fly' is no test that is known"]),
        ("if true;", ["'if' has a block"]),
        ("keep {}", ["'keep' has no block"]),
        ("if {}", ["'if' has one test"]),
        ("if not (true, true) {}", ["'not' has one test"]),
        ("if anyof {}", ["'anyof' has a list of tests"]),
        ("if anyof (true, false) {}", []),
        ("if true (true) {}", ["'true' has no test"]),
        ("if true {} keep; else {}", ["'else' follows neither 'if' nor 'elsif'"]),
        ("if true {elsif true {}} elsif true {}", ["'elsif' follows neither 'if' nor 'elsif'"]),
    ],
)  # fmt: skip
def test_what_the_grammar_does_not_allow_is_told(text: str, messages: list[str]) -> None:
    script = parse(text.encode())
    assert told(script) == [f"error: {message}" for message in messages]


@pytest.mark.parametrize("text", ["a\0b", "a\rb"])
def test_what_cannot_be_written_is_told(text: str) -> None:
    (remark,) = told(Script((command("redirect", Text(text)),)))
    assert "a text has a NUL" in remark
    assert "no number" in told(Script((command("vacation", Tag("days"), Number(-1), Text("")),)))[0]


def test_a_profile_is_read_from_toml() -> None:
    assert read_profile(b"") == PIGEONHOLE
    assert read_profile(b'extensions = ["copy"]\nredirects = 10\n') == Profile(
        extensions=frozenset({"copy"}), redirects=10
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "no TOML"),
        (b"x", "no TOML"),
        (b"size = 5", "'size' is not known; a profile has extensions, octets"),
        (b"octets = -1", "'octets' is a number, 0 or more"),
        (b"octets = true", "'octets' is a number"),
        (b'extensions = "copy"', "'extensions' is a list of names"),
        (b"extensions = [1]", "'extensions' is a list of names"),
    ],
)
def test_what_is_no_profile_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_profile(data)
