"""What a doveadm prints and says, as it may come: none at all, too much, nonsense, nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iems.serve.deadline import Deadline
from sieve.installing import doveadm
from sieve.installing.doveadm import Doveadm, extensions
from sieve.installing.order import NoDovecotError
from sieve.installing.scripts import RefusedError, ServerError
from sieve.script.profile import PIGEONHOLE


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A doveadm that is not there yet."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "doveadm"


def does(program: Path, *commands: str, seconds: float = 30) -> Doveadm:
    """Scripts by a doveadm that does this."""
    program.write_text("\n".join(["#!/bin/sh", *commands, ""]))
    program.chmod(0o755)
    return Doveadm("alice@example.test", Deadline.after(seconds), frozenset())


@pytest.mark.parametrize("answer", ["", "no list", "[1]", "{}", '[{"script": 1}]', "\\377"])
def test_what_makes_no_sense_is_no_answer(program: Path, answer: str) -> None:
    scripts = does(program, f"printf '{answer}'")
    with pytest.raises(ServerError):
        scripts.get("x")
    if answer != "{}":
        with pytest.raises(ServerError):
            scripts.listed()


@pytest.mark.parametrize("code", [65, 67, 73])
def test_a_refusal_says_why(program: Path, code: int) -> None:
    """Without who it is and what is no error; as often as it is said."""
    said = "doveadm(a@b.test)<7><>: Error: sieve: x: line 1: no\n"
    said += "doveadm(a@b.test): Warning: sieve: x: odd\nDebug: x\ndoveadm: Error: parse failed\n"
    scripts = does(program, f"printf '{said}' >&2", f"exit {code}")
    with pytest.raises(RefusedError) as refused:
        scripts.put("x", b"no")
    assert str(refused.value) == "x: line 1: no\nparse failed"


@pytest.mark.parametrize("code", [1, 64, 68, 75, 77, 127])
def test_who_cannot_answer_now_refuses_nothing(program: Path, code: int) -> None:
    """But 68 says that there is none."""
    scripts = does(program, f"exit {code}")
    with pytest.raises(RefusedError if code == 68 else ServerError, match=f"ended with {code}"):
        scripts.put("x", b"keep;")


def test_what_it_is_given_is_a_file_and_who_stops_us_does_not_stop_it(program: Path) -> None:
    """So that what it reads is whole, and that who was begun is finished."""
    session = "$(cut -d ' ' -f 6 /proc/$$/stat)"
    does(program, 'test -f /dev/stdin && test "$(cat)" = keep').put("x", b"keep")
    does(program, f'test "{session}" = $$').put("x", b"keep")


def test_a_doveadm_that_hangs_is_killed(program: Path) -> None:
    with pytest.raises(ServerError, match="in time"):
        does(program, "exec sleep 600", seconds=0.05).get("x")


def test_too_much_is_not_read(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doveadm, "_LARGEST", 1000)
    with pytest.raises(ServerError, match="too much"):
        does(program, "exec cat /dev/zero").get("x")


def test_without_doveadm_it_is_told(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(ServerError, match="No such file"):
        Doveadm("alice@example.test", Deadline.after(30), frozenset()).get("x")
    with pytest.raises(ServerError, match="doveconf"):
        extensions()


@pytest.mark.parametrize(
    ("settings", "more", "fewer"),
    [
        ({}, set(), set()),
        ({"sieve_extensions": "+editheader fileinto -regex"}, {"editheader"}, {"regex"}),
        ({"sieve_extensions": " -regex  copy "}, set(), {"regex"}),
        (
            {"sieve_extensions": "copy fileinto"},
            set(),
            PIGEONHOLE.extensions - {"copy", "fileinto"},
        ),
        ({"sieve_extensions": ""}, set(), PIGEONHOLE.extensions),
        ({"sieve_global_extensions": "+regex copy"}, set(), {"regex", "copy"}),
        ({"sieve_global_extensions": "-regex"}, set(), set()),
    ],
)
def test_which_extensions_there_are(
    settings: dict[str, str], more: set[str], fewer: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each as Pigeonhole's own ManageSieve server says it of these settings."""
    monkeypatch.setattr(doveadm, "configured", lambda: settings)
    assert extensions() == (PIGEONHOLE.extensions | more) - fewer


def test_without_its_configuration_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot() -> dict[str, str]:
        raise NoDovecotError("cannot be read")

    monkeypatch.setattr(doveadm, "configured", cannot)
    with pytest.raises(ServerError, match="cannot be read"):
        extensions()
