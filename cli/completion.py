"""Completion of `iems` and `iems-sieve` for bash and zsh: commands, verbs, options, checks.

It is made of their arguments. The scripts of both shells walk the words in the same way and differ
in how words are given and taken. Files are completed where a path is wanted, and the names of
checks are read from the settings. Addresses and domains are not: to list them, the directory would
have to be asked at each key.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cli.arguments import Command
from iems.model.policy import Action
from iems.settings.load import DEFAULT_FILE

_CHECKS = r"""_iems_checks() {{
    sed -nE -e 's,^\[checks\.([a-z]+)\].*,\1,p' \
        -e 's,^\[checks\.([a-z]+)\."?([A-Za-z0-9.-]+)"?\].*,\1/\2,p' \
        {folder}/iems.toml {folder}/conf.d/*.toml 2>/dev/null
}}
"""

_ASKED = "$(_iems_checks)"

# `given` counts from 1, as zsh does, and its `last` word is the one that is completed.
_WALK = r"""    local way= offered= files= position
    for ((position = 2; position < last; position++)); do
        case "$way ${{given[position]}}" in
            {values}) ((position++)) ;;
            {steps}) way="$way ${{given[position]}}" ;;
        esac
    done
    # Past the word that is completed, the word before it was an option that takes a value.
    ((position > last)) && way="$way ${{given[last-1]}}"
    case "$way" in
{cases}
    esac
"""

_BASH = rf"""# bash completion for {{name}}, made of the arguments that it takes.

{{checks}}{{function}}() {{{{
    local given=("" "${{{{COMP_WORDS[@]}}}}") last=$((COMP_CWORD + 1))
{_WALK}    [ -z "$files" ] || compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(
        compgen -W "$offered" -- "${{{{given[last]}}}}"
        [ -z "$files" ] || compgen -f -- "${{{{given[last]}}}}"
    )
}}}}

complete -F {{function}} {{name}}
"""

_ZSH = rf"""#compdef {{name}}
# zsh completion for {{name}}, made of the arguments that it takes.

{{checks}}{{function}}() {{{{
    local given=("${{{{words[@]}}}}") last=$CURRENT
{_WALK}    compadd -- ${{{{=offered}}}}
    [ -z "$files" ] || _files
}}}}

{{function}} "$@"
"""


def bash(program: Command, folder: Path = DEFAULT_FILE.parent) -> str:
    """The file that bash-completion loads for a program."""
    return _filled(_BASH, program, folder)


def zsh(program: Command, folder: Path = DEFAULT_FILE.parent) -> str:
    """The file that zsh loads from its `fpath`: the program's name after `_`."""
    return _filled(_ZSH, program, folder)


def _filled(script: str, program: Command, folder: Path) -> str:
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
    (name,) = program.words
    return script.format(
        name=name,
        function="_" + name.replace("-", "_"),
        checks=_CHECKS.format(folder=folder) + "\n" if _ASKED in "".join(cases) else "",
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
    return f'        "{path}") offered="{" ".join(words)}"{" files=yes" if files else ""} ;;'


def _next(command: Command) -> tuple[list[str], bool]:
    """What may come next, and whether a file may."""
    words = [one.words[-1] for one in command.commands]
    for argument in command.arguments:
        words += argument.flags or argument.values
        if not argument.flags and argument.value.startswith("CHECK"):
            words.append(_ASKED)
        if not argument.flags and argument.value == "ACTION":
            words += [action.word for action in Action]
    return words, any(argument.file and not argument.flags for argument in command.arguments)
