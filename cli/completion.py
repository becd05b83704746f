"""Completion of `iems` for bash, made of its arguments: commands, verbs, options, checks, actions.

Files are completed where a path is wanted, and the names of checks are read from the settings.
Addresses and domains are not: to list them, the directory would have to be asked at each key.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cli.arguments import Command
from iems.model.policy import Action
from iems.settings.load import DEFAULT_FILE

_SCRIPT = r"""# bash completion for iems, made of the arguments that it takes.

_iems_checks() {{
    sed -nE -e 's,^\[checks\.([a-z]+)\].*,\1,p' \
        -e 's,^\[checks\.([a-z]+)\."?([A-Za-z0-9.-]+)"?\].*,\1/\2,p' \
        {folder}/iems.toml {folder}/conf.d/*.toml 2>/dev/null
}}

_iems() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local path= words= files= position
    for ((position = 1; position < COMP_CWORD; position++)); do
        case "$path ${{COMP_WORDS[position]}}" in
            {values}) ((position++)) ;;
            {steps}) path="$path ${{COMP_WORDS[position]}}" ;;
        esac
    done
    # Past the word that is completed, the word before it was an option that takes a value.
    ((position > COMP_CWORD)) && path="$path $before"
    case "$path" in
{cases}
    esac
    [ -z "$files" ] || compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(
        compgen -W "$words" -- "$current"
        [ -z "$files" ] || compgen -f -- "$current"
    )
}}

complete -F _iems iems
"""


def script(program: Command, folder: Path = DEFAULT_FILE.parent) -> str:
    """The file that bash-completion loads for `iems`."""
    commands = list(program.walk())
    valued = {
        f"{_path(command)} {flag}": argument
        for command in commands
        for argument in command.arguments
        for flag in argument.flags
        if argument.value
    }
    cases = [_case(_path(command), *_next(command)) for command in commands]
    cases += [_case(path, argument.values, argument.file) for path, argument in valued.items()]
    return _SCRIPT.format(
        folder=folder,
        values=_patterns(valued),
        steps=_patterns(_path(command) for command in commands[1:]),
        cases="\n".join(cases),
    )


def _path(command: Command) -> str:
    """As the script keeps it: each word after a blank."""
    return "".join(f" {word}" for word in command.words[1:])


def _patterns(paths: Iterable[str]) -> str:
    return "|".join(f'"{path}"' for path in paths)


def _case(path: str, words: Iterable[str], files: bool) -> str:
    return f'        "{path}") words="{" ".join(words)}"{" files=yes" if files else ""} ;;'


def _next(command: Command) -> tuple[list[str], bool]:
    """What may come next, and whether a file may."""
    words = [one.words[-1] for one in command.commands]
    for argument in command.arguments:
        words += argument.flags or argument.values
        if not argument.flags and argument.value.startswith("CHECK"):
            words.append("$(_iems_checks)")
        if not argument.flags and argument.value == "ACTION":
            words += [action.word for action in Action]
    return words, any(argument.file and not argument.flags for argument in command.arguments)
