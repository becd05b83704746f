"""Completion: the shells themselves complete commands, verbs, options, values, checks, files."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import sieve.main
from cli import arguments, completion, manual
from cli.main import COMMANDS, build_parser
from iems.model.policy import Action
from tests.waiting import eventually

PROGRAM = arguments.read(build_parser([*COMMANDS]))
RULES = arguments.read(sieve.main.build_parser())
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
    for program in (PROGRAM, RULES):
        (name,) = program.words
        (folder / name).write_text(completion.bash(program, folder))
        (folder / f"_{name}").write_text(completion.zsh(program, folder))
    return folder


def told(program: tuple[str, ...], script: str, folder: Path, **environment: str) -> str:
    """What a shell says that has read nothing but `script`; it must not complain."""
    done = subprocess.run(
        [*program, "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def bash(settings: Path, words: list[str], folder: Path) -> set[str]:
    """What bash offers for the last word."""
    array, function = " ".join(map(shlex.quote, words)), "_" + words[0].replace("-", "_")
    call = f"COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; {function}"
    show = 'for one in "${COMPREPLY[@]}"; do echo "$one"; done'
    return set(told(BASH, f"source {settings}/{words[0]}; {call}; {show}", folder).splitlines())


def zsh(settings: Path, words: list[str], folder: Path) -> set[str]:
    """What zsh offers for it; how it matches words and finds files is its own affair."""
    array = " ".join(map(shlex.quote, words))
    script = f"""
        words=({array}) CURRENT={len(words)}
        offer() {{ for one; do [[ $one == "$words[CURRENT]"* ]] && print -r -- $one; done }}
        compadd() {{ shift; offer "$@" }}
        _files() {{ offer *(N) }}
        source {settings}/_{words[0]}
        true"""
    return set(told(ZSH, script, folder).splitlines())


BASH, ZSH = ("bash", "--norc", "--noprofile"), ("zsh", "-f")
SHELLS = (bash, zsh)
Shell = Callable[[Path, list[str], Path], set[str]]
Complete = Callable[..., set[str]]


@pytest.fixture(params=SHELLS, ids=lambda one: one.__name__)
def complete(settings: Path, request: pytest.FixtureRequest) -> Complete:
    """What a shell offers for the last word of a line."""
    shell: Shell = request.param

    def ask(line: str, folder: Path = settings) -> set[str]:
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        return shell(settings, words, folder)

    return ask


@pytest.mark.parametrize(
    "command", [*PROGRAM.walk(), *RULES.walk()], ids=lambda one: " ".join(one.words)
)
def test_every_command_and_option_is_offered(
    complete: Complete, command: arguments.Command
) -> None:
    flags = {flag for argument in command.arguments for flag in argument.flags}
    below = {one.words[-1] for one in command.commands}
    assert flags | below <= complete(" ".join(command.words) + " ")
    for flag in flags:
        assert flag in complete(" ".join([*command.words, flag[:-1]]))


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
        ("iems-sieve t", {"translate", "test"}),
        ("iems-sieve translate --to sieve --from m", {"maildrop", "mailsort"}),
        ("iems nonsense ", {*COMMANDS, "--version", "--settings", *HELP}),
    ],
)  # fmt: skip
def test_what_is_offered(complete: Complete, line: str, offered: set[str]) -> None:
    found = complete(line)
    assert offered <= found
    # What a command takes beside these is its own affair.
    assert {one for one in found - offered if not one.startswith("-")} == set()


def test_files_are_offered_as_they_are_named(complete: Complete, tmp_path: Path) -> None:
    for name in ("a file", "$(touch y)", "b"):
        (tmp_path / name).touch()
    assert complete("iems --settings ", tmp_path) == {"a file", "$(touch y)", "b"}
    for line in (
        "iems key create a",
        "iems-sieve check a",
        "iems user import a",
        "iems user add --password-file a",
    ):
        assert complete(line, tmp_path) == {"a file"}, line
    assert complete("iems key create ", tmp_path) == {"a file", "$(touch y)", "b", *HELP}
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("program", ["iems", "iems-sieve"])
def test_bash_completion_finds_it_where_it_is_installed(tmp_path: Path, program: str) -> None:
    place = tmp_path / f"bash-completion/completions/{program}"
    place.parent.mkdir(parents=True)
    place.write_text(manual.files("9.8")[f"bash-completion/completions/{program}"])
    script = f"source /usr/share/bash-completion/bash_completion; _completion_loader {program}"
    found = told(BASH, f"{script}; complete -p {program}", tmp_path, XDG_DATA_DIRS=str(tmp_path))
    assert found == f"complete -F _{program.replace('-', '_')} {program}\n"


def test_zsh_completes_what_is_typed(tmp_path: Path) -> None:
    """On a terminal, from the place in its fpath, beginning with its very first word."""
    (tmp_path / "_iems").write_text(manual.files("9.8")["zsh/site-functions/_iems"])
    assert "/usr/local/share/zsh/site-functions\n" in told(ZSH, "print -l $fpath", tmp_path)
    (tmp_path / ".zshrc").write_text(
        f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; PS1=READY\n"
    )
    terminal, inner = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-i"],
        env={"PATH": os.environ["PATH"], "ZDOTDIR": str(tmp_path), "TERM": "dumb"},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    try:
        shown(terminal, "READY")
        os.write(terminal, b"iems dom\tadm\ta\t")
        shown(terminal, "iems domain admin add ")
    finally:
        shell.kill()
        shell.wait()
        os.close(inner)
        os.close(terminal)


def shown(terminal: int, text: str) -> None:
    """Wait until the terminal shows it, but for blanks that are taken back."""
    seen = ""

    def there() -> bool:
        nonlocal seen
        if select.select([terminal], [], [], 0)[0]:
            seen += os.read(terminal, 4096).decode()
        return text in seen.replace(" \b", "")

    eventually(there, 20, lambda: repr(seen))
