"""`import` and `export` of users, aliases, domains and policies: CSV or LDIF, one row an entry.

Exit 0 where every row is as it says, 1 where some could not be (each is told with its line), 75
where the directory stopped answering; the same command then goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from cli import entries
from iems.directory import ldif, rows
from iems.directory.admin import Admin
from iems.directory.bulk import Import, Summary
from iems.directory.rows import Read
from iems.directory.store import Row
from iems.directory.table import COLUMNS, csv_row, read_csv, read_ldif
from iems.directory.tree import (
    ADDRESS,
    ALIAS,
    CLASS,
    DOMAIN,
    DOMAIN_NAME,
    POLICY,
    USER,
    domain_entry,
)
from iems.settings.schema import Settings

_PIECE = 1 << 20
"""Bytes that are read at once of a line, however long it is; csv refuses such a cell."""

_CLASSES = {"user": (USER,), "alias": (ALIAS,), "domain": (DOMAIN,), "policy": (USER, DOMAIN)}


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser], kind: str) -> None:
    """`import FILE` and `export [DOMAIN]`."""
    columns = ", ".join(COLUMNS[kind])
    take = verbs.add_parser(
        "import",
        help="make and change many from a file",
        description=f"One row an entry. Columns of CSV: {columns}.",
    )
    take.add_argument("file", metavar="FILE|-", help="CSV with a header row, or LDIF")
    take.add_argument("--dry-run", action="store_true", help="tell what would be done, do nothing")
    take.add_argument("--json", action="store_true", help="the summary as one JSON object")
    give = verbs.add_parser("export", help="all of them as a file that import reads")
    give.add_argument("domain", nargs="?", type=entries.domain, help="only of this domain")
    for verb in (take, give):
        verb.add_argument(
            "--format",
            choices=("csv", "ldif"),
            help="default: ldif for a FILE.ldif, else csv",
        )


def run(arguments: argparse.Namespace, admin: Admin, settings: Settings, kind: str) -> int:
    """Do what the verb says."""
    if arguments.verb == "export":
        return _export(admin, kind, arguments.domain, arguments.format or "csv")
    try:
        with _opened(arguments.file) as stream:
            return _import(arguments, admin, settings, stream, kind)
    except OSError as error:
        return entries.failed(str(error))


def _import(
    arguments: argparse.Namespace, admin: Admin, settings: Settings, stream: BinaryIO, kind: str
) -> int:
    wanted: str = arguments.format or ("ldif" if arguments.file.endswith(".ldif") else "csv")
    lines = iter(lambda: stream.readline(_PIECE), b"")
    table = (read_ldif if wanted == "ldif" else read_csv)(kind, lines)
    readers: Mapping[str, Read] = {
        "user": rows.user,
        "alias": rows.alias,
        "domain": rows.domain(settings.postmaster),
        "policy": rows.policy,
    }
    work = Import(admin, settings.site_layer, readers[kind], dry_run=arguments.dry_run)
    told = 0
    try:
        for summary in work.run(table):
            told = _tell(summary, told, quiet=arguments.json)
    finally:
        _finish(work.summary, as_json=arguments.json, dry_run=arguments.dry_run)
    return entries.NEGATIVE if work.summary.faults else entries.OK


def _tell(summary: Summary, told: int, *, quiet: bool) -> int:
    """The new faults, and on a terminal how far it is; how many faults are told now."""
    terminal = sys.stderr.isatty()
    start = "\r" if terminal else ""
    for fault in [] if quiet else summary.faults[told:]:
        print(f"{start}line {fault.line}: {fault.text}", file=sys.stderr)
    if terminal:
        print(f"\r{_counts(summary)} ", end="", file=sys.stderr, flush=True)
    return len(summary.faults)


def _finish(summary: Summary, *, as_json: bool, dry_run: bool) -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if as_json:
        faults = sorted(summary.faults, key=lambda one: one.line)
        table = {
            "dry_run": dry_run,
            "read": summary.read,
            "added": summary.added,
            "changed": summary.changed,
            "unchanged": summary.unchanged,
            "problems": [{"line": one.line, "problem": one.text} for one in faults],
        }
        print(json.dumps(table, indent=2))
    else:
        print(("would be: " if dry_run else "") + _counts(summary))


def _counts(summary: Summary) -> str:
    return (
        f"{summary.read} read, {summary.added} added, {summary.changed} changed, "
        f"{summary.unchanged} unchanged, {len(summary.faults)} problems"
    )


def _export(admin: Admin, kind: str, domain: str | None, form: str) -> int:
    """One domain after the other, so that no more than one is held."""
    columns = [name for name in COLUMNS[kind] if not name.startswith("password")]
    out = sys.stdout.buffer
    if form == "csv":
        out.write(csv_row([name] for name in columns))
    others = admin.domain_aliases() if kind == "domain" else {}
    for row in _rows(admin, kind, domain):
        if form == "ldif":
            out.write(ldif.write(admin.text(row.name), _attributes(kind, row)))
            continue
        out.write(csv_row(_cell(kind, column, row, others) for column in columns))
    out.flush()
    return entries.OK


def _rows(admin: Admin, kind: str, domain: str | None) -> Iterator[Row]:
    wanted = [(CLASS, name) for name in _CLASSES[kind]]
    for name in admin.domains() if domain is None else [domain]:
        found = sorted(admin.rows(*wanted, below=domain_entry(name)), key=lambda row: row.name)
        yield from (row for row in found if kind != "policy" or row.attributes.get(POLICY))


def _attributes(kind: str, row: Row) -> Mapping[str, Sequence[bytes]]:
    """What import reads of an entry, and the class that says what it is."""
    wanted = [CLASS, *(name for name in COLUMNS[kind].values() if name)]
    return {name: sorted(row.attributes[name]) for name in wanted if name in row.attributes}


def _cell(kind: str, column: str, row: Row, others: Mapping[str, str]) -> Sequence[str]:
    attribute = COLUMNS[kind][column]
    if attribute:
        return sorted(row.texts(attribute))
    if column == "subject":
        return row.texts(ADDRESS) or row.texts(DOMAIN_NAME)
    [name] = row.texts(DOMAIN_NAME)
    return [others[name]] if column == "alias_of" and name in others else []


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as stream:
        yield stream
