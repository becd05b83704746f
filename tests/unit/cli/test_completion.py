"""Completion: bash itself completes commands, verbs, options, values, checks and files."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from cli import arguments, completion, manual
from cli.main import COMMANDS, build_parser
from iems.model.policy import Action

PROGRAM = arguments.read(build_parser([*COMMANDS]))
HELP = {"-h", "--help"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings with some checks, and the script that reads them."""
    folder = tmp_path_factory.mktemp("etc")
    (folder / "conf.d").mkdir()
    (folder / "iems.toml").write_text('[checks.iprev]\nmode = "off"\n[directory]\nkind = "ldap"\n')
    (folder / "conf.d" / "a.toml").write_text(
        '[checks.dnsbl.spamlist] # ours\n[checks.dnsbl."a.b"]\n[checks.dnsbl."$(touch x)"]\n'
    )
    (folder / "iems").write_text(completion.script(PROGRAM, folder))
    return folder


def bash(script: str, folder: Path, **environment: str) -> str:
    """What a bash says that has read nothing but `script`; it must not complain."""
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def complete(settings: Path, line: str, folder: Path | None = None) -> set[str]:
    """What is offered for the last word of `line`."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    array = " ".join(map(shlex.quote, words))
    call = f"COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _iems"
    show = 'for one in "${COMPREPLY[@]}"; do echo "$one"; done'
    told = bash(f"source {settings}/iems; {call}; {show}", folder or settings)
    return set(told.splitlines())


@pytest.mark.parametrize("command", list(PROGRAM.walk()), ids=lambda one: " ".join(one.words))
def test_every_command_and_option_is_offered(settings: Path, command: arguments.Command) -> None:
    flags = {flag for argument in command.arguments for flag in argument.flags}
    below = {one.words[-1] for one in command.commands}
    assert flags | below <= complete(settings, " ".join(command.words) + " ")
    for flag in flags:
        assert flag in complete(settings, " ".join([*command.words, flag[:-1]]))


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("iems che", {"check"}),
        ("iems policy s", {"show", "set"}),
        ("iems --settings check policy s", {"show", "set"}),
        ("iems check --l", {"--live"}),
        ("iems domain add check --p", {"--postmaster"}),
        ("iems why --since ", set()),
        ("iems user set --kind ", {"full", "send-only", "receive-only"}),
        ("iems policy set a@b.test ", {"iprev", "dnsbl/spamlist", "dnsbl/a.b", *HELP}
            | {action.word for action in Action}),
        ("iems policy set a@b.test dnsbl/s", {"dnsbl/spamlist"}),
        ("iems policy unset a@b.test ip", {"iprev"}),
        ("iems nonsense ", {*COMMANDS, "--version", "--settings", *HELP}),
    ],
)  # fmt: skip
def test_what_is_offered(settings: Path, line: str, offered: set[str]) -> None:
    found = complete(settings, line)
    assert offered <= found
    # What a command takes beside these is its own affair.
    assert {one for one in found - offered if not one.startswith("-")} == set()


def test_files_are_offered_as_they_are_named(settings: Path, tmp_path: Path) -> None:
    for name in ("a file", "$(touch y)", "b"):
        (tmp_path / name).touch()
    assert complete(settings, "iems --settings ", tmp_path) == {"a file", "$(touch y)", "b"}
    for line in ("iems key create a", "iems user import a", "iems user add --password-file a"):
        assert complete(settings, line, tmp_path) == {"a file"}, line
    assert complete(settings, "iems key create ", tmp_path) == {"a file", "$(touch y)", "b", *HELP}
    assert not (tmp_path / "y").exists()


def test_bash_completion_finds_it_where_it_is_installed(tmp_path: Path) -> None:
    place = tmp_path / "bash-completion/completions/iems"
    place.parent.mkdir(parents=True)
    place.write_text(manual.files("9.8")["bash-completion/completions/iems"])
    script = "source /usr/share/bash-completion/bash_completion; _completion_loader iems"
    told = bash(f"{script}; complete -p iems", tmp_path, XDG_DATA_DIRS=str(tmp_path))
    assert told == "complete -F _iems iems\n"
