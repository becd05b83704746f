"""`iems why`: what became of a message, from the records of milter and agent.

The word may be our reference (it stands in every refusal), Postfix's queue id or the Message-ID.
With `--as` only what concerns that user, or a domain that he administers: not a word about other
recipients. Exit 0 if there is a record, 1 if none, 77 not allowed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable, Mapping

from cli import entries
from iems.codec.printable import printable
from iems.directory.authority import Actor
from iems.model.policy import Kind
from iems.serve.log import Log
from iems.settings.load import load
from iems.store.records import Record, RecordsError, search
from iems.store.visible import visible

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The word, and what narrows the answer."""
    parser.add_argument("word", metavar="REF|QUEUE-ID|MESSAGE-ID")
    parser.add_argument("--recipient", default="", metavar="ADDRESS", help="only this recipient")
    parser.add_argument(
        "--since",
        type=age,
        default=0.0,
        metavar="TIME",
        help="an ISO 8601 time, or an age such as 30m, 12h, 7d",
    )
    entries.as_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Print the records, the oldest first."""
    return entries.told(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    settings = load(arguments.settings)
    actor = Actor()
    if arguments.as_user:
        with contextlib.closing(Log.open("iems")) as log:
            actor = entries.opened(arguments, settings, log).actor
    files = [settings.milter.state / "records.sqlite", settings.agent.state / "records.sqlite"]
    try:
        found = search(files, arguments.word, recipient=arguments.recipient, since=arguments.since)
    except RecordsError as error:
        print(f"iems: {error}", file=sys.stderr)
        return 75
    if actor.subject.kind is Kind.USER:
        found = visible(found, actor.subject.name, actor.domains)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(record) for record in found], indent=2))
    elif found:
        print("\n".join(line for record in found for line in explain(record)))
    else:
        print(f"no record of {printable(arguments.word)}", file=sys.stderr)
    return 0 if found else 1


def explain(record: Record) -> Iterable[str]:
    """One record as lines for people."""
    return map(entries.shown, _lines(record))


def _lines(record: Record) -> Iterable[str]:
    at = datetime.datetime.fromtimestamp(record.time, datetime.UTC)
    subject = record.subject if record.subject != f"user {record.recipient}" else ""
    whom = f" for {record.recipient}" if record.recipient else ""
    whom += f" ({subject})" if subject else ""
    yield f"{at:%Y-%m-%d %H:%M:%S}Z {record.stage}{whom}: {record.action}"
    known = {
        "reference": record.reference,
        "queue id": record.queue_id,
        "message id": record.message_id,
        "client": record.client,
        "channel": record.channel,
        "sender": f"<{record.sender}>",
        "reply": record.reply,
    }
    yield "    " + ", ".join(f"{name} {value}" for name, value in known.items() if value)
    reasons = _rows(record.details, "reasons")
    shadows = _rows(record.details, "shadows")
    explained = {(row.get("check"), row.get("band")) for row in (*reasons, *shadows)}
    yield from (f"    {_reason(row)}" for row in reasons)
    yield from (f"    shadow, nothing done: {_reason(row)}" for row in shadows)
    for row in _rows(record.details, "findings"):
        if (row.get("check"), row.get("band")) not in explained:
            yield f"    {row.get('check')}: {row.get('outcome')} {row.get('reason') or ''}".rstrip()
    name, by, past = (record.details.get(one) for one in ("released", "by", "past"))
    if name:
        yield f"    released from quarantine by {by}, past {past}: {name}"
    if original := record.details.get("original"):
        yield f"    kept in quarantine as it was: {original}"
    notes = record.details.get("notes")
    for note in notes if isinstance(notes, list) else []:
        yield f"    note: {note}"


def _reason(row: Mapping[str, object]) -> str:
    force = "enforced by" if row.get("enforced") else "chosen by"
    return (
        f"{row.get('check')} {row.get('band')}: {row.get('action')}, "
        f"{force} {row.get('layer')}{_entry(row)}; {row.get('reason')}"
    )


def _entry(row: Mapping[str, object]) -> str:
    """The entry of a list of senders that made the choice, or the finding."""
    return f" ({row['entry']}, entry of {row.get('owner')})" if "entry" in row else ""


def _rows(details: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    rows = details.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def age(text: str) -> float:
    """A time of the epoch: an ISO 8601 time, or an age such as 30m."""
    now = datetime.datetime.now(datetime.UTC)
    try:
        if text[-1:] in _UNITS and text[:-1].isdecimal():
            return now.timestamp() - int(text[:-1]) * _UNITS[text[-1]]
        return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; expected ISO 8601 or an age such as 30m, 12h, 7d"
        ) from None
