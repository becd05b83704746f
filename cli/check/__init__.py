"""`iems check`: the settings, read as the daemons read them, before the daemons do.

A fault keeps a daemon from starting or mail from its way; each is told with file, key, what stands
there, what is expected and, where that is not the same, what to do. A warning tells what is allowed
and hardly meant; it changes the exit code with `--strict` alone. Nothing is changed by it. Exit 0
if there is no fault, 78 otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cli.check import doubts, faults, judged
from cli.check.postfix import Postfix, PostfixError, read_postfix
from iems.settings.load import Written, read_files
from iems.settings.read import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What counts, and how to answer."""
    parser.add_argument("--strict", action="store_true", help="exit 78 for warnings, too")
    parser.add_argument("--json", action="store_true", help="one JSON object")


@dataclass(frozen=True)
class Report:
    """What was found."""

    faults: Sequence[str] = ()
    warnings: Sequence[str] = ()


def run(arguments: argparse.Namespace) -> int:
    """Print faults and warnings, if any."""
    try:
        report = _report(read_files(arguments.settings))
    except SettingsError as error:
        report = Report(error.faults)
    if arguments.json:
        found = {"faults": list(report.faults), "warnings": list(report.warnings)}
        print(json.dumps({"settings": str(arguments.settings), **found}, indent=2))
    else:
        _print(str(arguments.settings), report)
    return 78 if report.faults or (arguments.strict and report.warnings) else 0


def _report(written: Written) -> Report:
    postfix: Postfix | None = None
    warnings: list[str] = []
    try:
        postfix = read_postfix()
    except PostfixError as error:
        warnings.append(str(error))
    warnings += doubts.find(written, postfix)
    if postfix is not None:
        warnings += [row.text for row in judged.rows(written.settings, postfix) if not row.ok]
    return Report(list(faults.find(written, postfix)), warnings)


def _print(file: str, report: Report) -> None:
    for fault in report.faults:
        print(fault, file=sys.stderr)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if report.faults:
        print("Running daemons keep their settings, and a reload is refused.", file=sys.stderr)
    else:
        count = len(report.warnings)
        print(f"{file}: nothing is wrong" + (f", {count} warnings" if count else ""))
