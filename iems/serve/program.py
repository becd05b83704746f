"""The command line of a daemon, which is the same for all."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from iems.serve.service import Service
from iems.serve.supervisor import serve
from iems.settings.load import DEFAULT_FILE


def run(
    name: str, about: str, service: Callable[[Path], Service], argv: Sequence[str] | None = None
) -> int:
    """Run the daemon that `service` makes of a settings file; the exit status of `serve`."""
    arguments = build_parser(name, about).parse_args(argv)
    return serve(
        service(arguments.settings),
        foreground_log=arguments.foreground_log,
        pid_file=arguments.pid_file,
    )


def build_parser(name: str, about: str = "") -> argparse.ArgumentParser:
    """What it may be told."""
    parser = argparse.ArgumentParser(prog=name, description=about)
    parser.add_argument(
        "--settings", type=Path, default=DEFAULT_FILE, metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--foreground-log", action="store_true", help="log to standard error")
    parser.add_argument(
        "--pid-file", type=Path, metavar="FILE", help="write the supervisor's process id"
    )
    return parser
