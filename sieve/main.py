"""`iems-sieve`: rules for mail translated, checked and tried, without a mail server.

It needs no settings and asks no server; `test` runs the sieve-test of Pigeonhole. Exit codes, after
sysexits(3): 0 done or yes, 1 refused or no, 2 usage (argparse's own) or a file that cannot be read,
69 Pigeonhole is not there or gives no answer, 78 the profile is wrong. A command is a module of
`sieve.commands` with `add_arguments(parser)` and `run(arguments) -> int`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType

OK, NEGATIVE, USAGE, UNAVAILABLE, CONFIGURATION = 0, 1, 2, 69, 78

EXIT_CODES = (
    f"Exit codes: {OK} done or yes, {NEGATIVE} refused or no, {USAGE} usage, {UNAVAILABLE} "
    f"Pigeonhole is not there, {CONFIGURATION} the profile is wrong."
)

COMMANDS: Mapping[str, str] = {
    "translate": "print rules of another program, or of mailsort.toml, as Sieve or as Mailsort",
    "check": "say what is wrong with files of rules",
    "test": "say what would become of messages, by Pigeonhole itself",
}


class Failure(Exception):  # noqa: N818 - it ends the program as it was meant to
    """Ends the program with this code, after a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(argv: list[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except Failure as failure:
        print(f"iems-sieve: {failure}", file=sys.stderr)
        return failure.code
    except BrokenPipeError:
        # Nobody reads on; Python must not try once more when it ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open to the end
        return OK
    except KeyboardInterrupt:
        return 130
    return code


def build_parser() -> argparse.ArgumentParser:
    """The arguments of `iems-sieve`."""
    parser = argparse.ArgumentParser(
        prog="iems-sieve",
        description="Translate, check and try rules for mail, without a mail server.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=f"iems-sieve {name}: {summary}."
        )
        module = module_of(name)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def module_of(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"sieve.commands.{command}")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> None:
        from importlib.metadata import version

        print(f"iems-sieve {version('iems')}")
        parser.exit()
