"""Man pages and completion, made of what the programs are made of: arguments, docstrings, schema.

`python -m cli.manual FOLDER` writes them below FOLDER as they lie below /usr/local/share; a release
is built with it. It reads no settings and asks no server.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import lmtp.learning.main
import lmtp.main
import milters.main
import sieve.main
from cli import arguments, completion, reference
from cli.arguments import Argument, Command
from cli.main import COMMANDS, build_parser, module_of
from iems.serve import program as daemon

_MILTER = (
    "Postfix asks it about each message (`smtpd_milters`, `non_smtpd_milters`). It runs the checks "
    "that iems.toml(5) names, refuses at RCPT what all whom an address reaches want refused, and "
    "passes on in two header fields what it found."
)
_AGENT = (
    "Postfix delivers to it by LMTP (`virtual_transport`). It decides for each recipient by what "
    "the milter found and what he chose, and hands the message on to Dovecot."
)
_TRAINER = (
    "Dovecot tells it by imapsieve what users do with their mail, and the agent and iems(1) ask it "
    "to train. It keeps each request on disk, trains the filters of users, and is the only one to "
    "write what they have learned."
)
_DAEMON = (
    "The system starts it, and it stays in the foreground. A supervisor holds the socket and keeps "
    "the workers running: one that ends or hangs is replaced. `iems status` shows how it is, and "
    "`iems check --live` whether it runs what is written."
)
_SIGNALS = {
    "HUP": "Reload: the settings are checked, and if they are right, new workers take over while "
    "the old ones end their sessions. If not, the log says why and the old ones stay.",
    "USR2": "The same with a new image of the program, which takes over socket and workers.",
    "TERM": "Stop: no new session; the open ones have 20 seconds to end.",
}
_DAEMON_CODES = "Exit codes: 0 stopped, 69 the socket is taken, 78 the settings are wrong."
_FILES = {
    "/etc/iems/iems.toml": "settings, see iems.toml(5)",
    "/etc/iems/conf.d/*.toml": "settings of the site",
    "/etc/iems/keys/": "keys and passwords, for root and the group iems",
    "/var/lib/iems/": "records, quarantine, and what the filters of users have learned",
    "/run/iems/": "what the daemons publish of themselves",
}
_ENVIRONMENT = {"MAIL_CONFIG": "the folder of Postfix's configuration, as for postconf(1)"}
_PAGES = (
    "iems(1)",
    "iems-sieve(1)",
    "iems-milter(8)",
    "iems-lmtp(8)",
    "iems-bayes(8)",
    "iems.toml(5)",
)


def files(release: str) -> Mapping[str, str]:
    """Every file by its place below /usr/local/share."""
    program = arguments.read(build_parser([*COMMANDS]))
    rules = arguments.read(sieve.main.build_parser())
    pages = {
        "iems.1": _program(program, "manage and question an IEMS mail server", module_of),
        "iems-sieve.1": _program(rules, "translate, check and try rules", sieve.main.module_of),
        "iems-milter.8": _daemon(milters.main.NAME, "milter", _MILTER),
        "iems-lmtp.8": _daemon(lmtp.main.NAME, "delivery agent", _AGENT),
        "iems-bayes.8": _daemon(lmtp.learning.main.NAME, "training daemon", _TRAINER),
        "iems.toml.5": _settings(),
    }
    found = {
        f"man/man{name[-1]}/{name}": _page(name, release, body) for name, body in pages.items()
    }
    return found | {
        "bash-completion/completions/iems": completion.bash(program),
        "bash-completion/completions/iems-sieve": completion.bash(rules),
        "zsh/site-functions/_iems": completion.zsh(program),
        "zsh/site-functions/_iems-sieve": completion.zsh(rules),
    }


def _page(name: str, release: str, body: Iterator[str]) -> str:
    title, _dot, section = name.rpartition(".")
    others = ", ".join(page for page in _PAGES if page != f"{title}({section})")
    lines = [
        f'.TH {title.upper()} {section} "" "IEMS {release}"',
        *body,
        *_section("SEE ALSO", f"{others}, postconf(1), postfix(1), dovecot(1)"),
    ]
    return "\n".join(lines) + "\n"


def _program(program: Command, about: str, module_of: Callable[[str], ModuleType]) -> Iterator[str]:
    (name,) = program.words
    yield from _section("NAME", rf"{escaped(name)} \- {escaped(about)}", raw=True)
    yield from _section("SYNOPSIS", program.usage)
    yield from _section("DESCRIPTION", program.description)
    yield from _arguments(program)
    yield ".SH COMMANDS"
    for command in program.commands:
        yield f".SS {escaped(' '.join(command.words))}"
        module = module_of(command.words[-1])
        yield from _docstring(module.__doc__ or "")
        for one in command.walk():
            yield from _usage(one)
    yield from _section("EXIT STATUS", program.epilog)
    if name == "iems":
        yield from _list("ENVIRONMENT", _ENVIRONMENT)
        yield from _list("FILES", _FILES)


def _usage(command: Command) -> Iterator[str]:
    """How one command or verb is called; a command that has verbs is called by these."""
    if command.commands:
        return
    yield from (".PP", rf"\fB{escaped(command.usage)}\fR")
    if len(command.words) > 2 and command.summary:
        yield from (".br", escaped(command.summary))
    yield from (".RS", *_arguments(command), ".RE")


def _arguments(command: Command) -> Iterator[str]:
    for argument in command.arguments:
        if argument.help and "--help" not in argument.flags:
            yield from (".TP", _name(argument), escaped(argument.help))


def _name(argument: Argument) -> str:
    value = rf"\fI{escaped(argument.value)}\fR" if argument.value else ""
    flags = ", ".join(rf"\fB{escaped(flag)}\fR" for flag in argument.flags)
    return f"{flags} {value}".strip()


def _daemon(name: str, what: str, about: str) -> Iterator[str]:
    program = arguments.read(daemon.build_parser(name))
    yield from _section("NAME", rf"{escaped(name)} \- the {what} of IEMS", raw=True)
    yield from _section("SYNOPSIS", program.usage)
    yield from _section("DESCRIPTION", about)
    yield from (".PP", escaped(_DAEMON))
    yield ".SH OPTIONS"
    yield from _arguments(program)
    yield from _list("SIGNALS", _SIGNALS)
    yield from _section("EXIT STATUS", _DAEMON_CODES)
    yield from _list("FILES", _FILES)


def _settings() -> Iterator[str]:
    yield from _section("NAME", r"iems.toml \- settings of an IEMS mail server", raw=True)
    yield ".SH DESCRIPTION"
    for paragraph in reference.INTRODUCTION:
        yield from (".PP", escaped(paragraph))
    for section in reference.sections():
        yield f".SH {escaped(section.title)}"
        for paragraph in section.about:
            yield from (".PP", escaped(paragraph))
        for key in section.keys:
            default = f"default `{key.default}`" if key.default else "required"
            yield from (".TP", rf"\fB{escaped(key.name)}\fR", escaped(key.meaning), ".br")
            yield escaped(f"{key.kind}; {default}; takes effect: {key.effect}")
        yield from _example(section.example)


def _example(text: str) -> Iterator[str]:
    yield from (".PP", "Example:", ".PP", ".RS 4", ".EX")
    yield from map(escaped, text.splitlines())
    yield from (".EE", ".RE")


def _docstring(text: str) -> Iterator[str]:
    """What a module says of itself; its first line begins with the name of the command."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield from (".PP", escaped(" ".join(paragraph.split())))


def _section(title: str, text: str, *, raw: bool = False) -> Iterator[str]:
    yield from (f".SH {title}", text if raw else escaped(text))


def _list(title: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f".SH {title}"
    for name, text in rows.items():
        yield from (".TP", rf"\fB{escaped(name)}\fR", escaped(text))


def escaped(text: str) -> str:
    """As roff takes it: nothing in it is an order, and what stands in backticks is bold."""
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    safe = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", safe)
    return rf"\&{safe}" if safe.startswith((".", "'")) else safe


def main(folder: Path) -> None:
    """Write all of them."""
    for name, text in files(version("iems")).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
