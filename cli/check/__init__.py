"""`iems check`: the settings, read as the daemons read them, before the daemons do.

A fault keeps a daemon from starting or mail from its way; each is told with file, key, what stands
there, what is expected and, where that is not the same, what to do. A warning tells what is legal
and hardly meant; it changes the exit code with `--strict` alone. `--live` compares what runs with
what is written, row by row. Nothing is changed by any of it. Exit 0 if there is no fault, 78 if
there is one, 1 if what is written is right and something that runs is not so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from cli.check import doubts, faults, judged, live
from cli.check.row import Row
from cli.postfix import Postfix, PostfixError, read_postfix
from iems.settings.load import Written, read_files
from iems.settings.plugins import CHECKS, EDITS, installed
from iems.settings.policy import BANDS
from iems.settings.read import SettingsError
from iems.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What counts, and how to answer."""
    parser.add_argument("--strict", action="store_true", help="exit 78 for warnings, too")
    parser.add_argument(
        "--live", action="store_true", help="compare what runs with what is written (as root)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


@dataclass(frozen=True)
class Report:
    """What was found."""

    faults: Sequence[str] = ()
    warnings: Sequence[str] = ()
    plugins: Sequence[str] = ()
    """Checks and edits that others wrote, each with its distribution."""

    live: Sequence[Row] | None = None


def run(arguments: argparse.Namespace) -> int:
    """Print faults and warnings, if any."""
    try:
        report = _report(read_files(arguments.settings), ask=arguments.live)
    except SettingsError as error:
        report = Report(error.faults)
    if arguments.json:
        print(json.dumps({"settings": str(arguments.settings), **asdict(report)}, indent=2))
    else:
        _print(str(arguments.settings), report)
    if report.faults or (arguments.strict and report.warnings):
        return 78
    return 0 if all(row.ok for row in report.live or ()) else 1


def _report(written: Written, *, ask: bool) -> Report:
    postfix: Postfix | None = None
    unread: PostfixError | None = None
    try:
        postfix = read_postfix()
    except PostfixError as error:
        unread = error
    warnings = [str(unread)] if unread is not None else []
    warnings += doubts.find(written, postfix)
    if postfix is not None:
        warnings += [row.text for row in judged.rows(written.settings, postfix) if not row.ok]
    rows = list(live.rows(written, unread or postfix)) if ask else None
    plugins = list(_plugins(written.settings))
    return Report(list(faults.find(written, postfix)), warnings, plugins, rows)


def _plugins(settings: Settings) -> Iterator[str]:
    checks = {one.family for one in settings.checks} - BANDS.keys()
    edits = {one.family for one in settings.edits if one.plugin}
    for group, on in ((CHECKS, checks), (EDITS, edits)):
        yield from (f"{name} of {told}" for name, told in sorted(installed(group)) if name in on)


def _print(file: str, report: Report) -> None:
    for one in report.plugins:
        print(f"plug-in {one}")
    for row in report.live or ():
        print(f"{'ok' if row.ok else 'FAULT':<6}{row.name}: {row.text}")
    for fault in report.faults:
        print(fault, file=sys.stderr)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if report.faults:
        print("Running daemons keep their settings, and a reload is refused.", file=sys.stderr)
    else:
        count = len(report.warnings)
        print(f"{file}: nothing is wrong" + (f", {count} warnings" if count else ""))
