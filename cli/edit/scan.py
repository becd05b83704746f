"""`iems edit scan`: let a message pass in which a clamd finds no virus (docs/checks/virus.md)."""

from __future__ import annotations

import argparse
import sys

from cli import entries
from iems.codec.header import split_message
from iems.model.server import Server
from iems.serve.deadline import Deadline
from iems.store.spool import MemoryBody, Spooled
from milters.checks.virus import seen_by
from milters.engines.clamd import Clamd
from milters.engines.engine import EngineError
from milters.engines.scanner import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, and for how long."""
    parser.add_argument(
        "--clamd",
        type=_server,
        required=True,
        metavar="SERVER",
        help="unix:/PATH or inet:ADDRESS:PORT",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="N", help="bound on the scan; 60"
    )


def run(arguments: argparse.Namespace) -> int:
    """Scan the message in all its readings."""
    data = sys.stdin.buffer.read()
    header, body = split_message(data)
    message, within = Spooled(header, MemoryBody(body)), Deadline.after(arguments.seconds)
    try:
        seen = seen_by(Clamd(arguments.clamd), message, within)
    except EngineError as error:
        return entries.failed(f"not scanned: clamd {error}", entries.TEMPORARY)
    told = ", ".join(entries.shown(f"{verdict.value}: {what}") for verdict, what in seen.items())
    if seen.keys() - {Verdict.ENCRYPTED}:
        return entries.failed(f"rejected: {told}")
    if told:
        entries.warn(told)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return entries.OK


def _server(text: str) -> Server:
    try:
        return Server.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
