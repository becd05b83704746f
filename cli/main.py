"""`iems`: finds the command and calls it.

Exit codes, after sysexits(3): 0 done or yes, 1 refused or no, 2 usage (argparse's own), 75 a server
could not answer now, 78 the settings are wrong, 77 not allowed. A command is a module of this
package with `add_arguments(parser)` and `run(arguments) -> int`; only the one that is called is
imported, so that help and completion are quick.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from iems.settings.read import SettingsError

OK, NEGATIVE, USAGE, TEMPORARY, NOT_ALLOWED, CONFIGURATION = 0, 1, 2, 75, 77, 78

EXIT_CODES = (
    f"Exit codes: {OK} done or yes, {NEGATIVE} refused or no, {USAGE} usage, {TEMPORARY} a server "
    f"could not answer now, {NOT_ALLOWED} not allowed, {CONFIGURATION} the settings are wrong."
)

COMMANDS: Mapping[str, str] = {
    "alias": "add, list and delete aliases",
    "backup": "write all that this server knows into one file",
    "bayes": "evaluate, question and train the filter of each user",
    "check": "check the settings",
    "digest": "say who gets no daily digest",
    "dkim": "make and turn over the keys that sign for domains, print their records",
    "domain": "add, list and delete mail domains and their administrators",
    "edit": "change one message, from standard input to standard output",
    "flow": "list, hold and free accounts that sent too much",
    "header": "keep the rules of domains and lists about header fields",
    "jobs": "list what a daemon does from time to time, and do one of it now",
    "key": "make the keyring of the findings header and turn its keys over",
    "mailsort": "keep the rules of users about their incoming mail, and install them",
    "metrics": "print what the daemons have measured, for Prometheus",
    "mime": "show the parts of a message",
    "password": "change one's password by the old one",
    "policy": "show and set who decides what about which check",
    "probe": "send a message through the server and read it",
    "quarantine": "list, show, release and delete messages in quarantine",
    "queue": "show what waits in Postfix's queues; hold, release, requeue and delete it",
    "replay": "show who would have got what under another policy",
    "restore": "put a backup onto a server that was just set up",
    "sender": "keep the lists of senders whom users and domains allow or block",
    "spf": "check by SPF whether a client may send mail of a domain",
    "status": "show how the mail server is",
    "try": "show what would become of a message, without sending it",
    "user": "add, set, show, list and delete users, give them passwords",
    "vacation": "say for a user that he is away",
    "virus-matrix": "show what is done about viruses, by where mail comes from and goes",
    "why": "explain what became of a message",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser(words).parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return CONFIGURATION
    except PermissionError as error:
        print(f"iems: {error.filename}: {error.strerror}; run it as root", file=sys.stderr)
        return NOT_ALLOWED
    except BrokenPipeError:
        # Nobody reads on; Python must not try once more when it ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open to the end
        return OK
    except KeyboardInterrupt:
        return 130
    return code


def build_parser(words: list[str]) -> argparse.ArgumentParser:
    """The arguments of `iems`, with those of each command that is among `words`."""
    from iems.settings.load import DEFAULT_FILE

    parser = argparse.ArgumentParser(
        prog="iems", description="Manage and question an IEMS mail server.", epilog=EXIT_CODES
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.add_argument(
        "--settings", type=Path, default=DEFAULT_FILE, metavar="FILE", help="default: %(default)s"
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"iems {name}: {summary}.")
        if name in words:
            module = module_of(name)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def module_of(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"cli.{command.replace('-', '_')}")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> None:
        from importlib.metadata import version

        print(f"iems {version('iems')}")
        parser.exit()
