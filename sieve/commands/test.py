"""`iems-sieve test`: what would become of messages under these rules, by Pigeonhole itself.

The rules are compiled as `translate` does it and run by the sieve-test of this machine; nothing is
stored and nothing is sent. What the server would know and a file does not (verdict, score, the
findings of checks) the header has to say. Exit 0 if the script ran to its end for each message, 1
if the rules are none or the server would give them up, 69 without Pigeonhole.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator

from sieve.commands import rules
from sieve.commands.pigeonhole import Outcome, outcome
from sieve.main import NEGATIVE, OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The messages, the rules, the envelope."""
    parser.add_argument(
        "message", nargs="+", metavar="FILE|-", help="messages; - is standard input"
    )
    parser.add_argument("--rules", required=True, metavar="FILE", help="in any of the languages")
    parser.add_argument(
        "--from",
        dest="language",
        choices=rules.FORMATS,
        help="the language of the rules; default: what the file's name says",
    )
    parser.add_argument(
        "--sender", default="", metavar="ADDRESS", help="of the envelope; default: the header's"
    )
    parser.add_argument(
        "--recipient", default="", metavar="ADDRESS", help="of the envelope; default: the header's"
    )
    rules.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON list, an object a message")


def run(arguments: argparse.Namespace) -> int:
    """Try each message, and print what becomes of it."""
    profile = rules.profile_of(arguments)
    done = rules.read(arguments.rules, arguments.language)
    done = rules.compiled(done, profile, rules.site_of(arguments))
    rules.told(arguments.rules, done.remarks)
    if done.script is None:
        return NEGATIVE
    outcomes = {
        name: outcome(
            done.script,
            rules.content(name),
            profile,
            separator=arguments.separator,
            sender=arguments.sender,
            recipient=arguments.recipient,
        )
        for name in arguments.message
    }
    if arguments.json:
        print(
            json.dumps(
                [{"file": name, **dataclasses.asdict(one)} for name, one in outcomes.items()]
            )
        )
    else:
        for name, one in outcomes.items():
            print(f"{name}:", *(f"  {rules.one_line(line)}" for line in _lines(one)), sep="\n")
    return NEGATIVE if any(one.failed for one in outcomes.values()) else OK


def _lines(one: Outcome) -> Iterator[str]:
    if one.failed:
        yield f"the script is given up: {one.failed}"
    for filed in one.filed:
        flags = f" with {' '.join(filed.flags)}" if filed.flags else ""
        yield f"{'stays in' if filed.folder == 'INBOX' else 'filed into'} {filed.folder}{flags}"
    for address in one.forwarded:
        yield f"sent on to {address}"
    if one.reply is not None:
        yield f"answered: {one.reply}"
    if one.unanswered:
        yield f"not answered: {one.unanswered}"
    for address in one.notified:
        yield f"told to {address}"
    if one.rejected is not None:
        yield f"refused: {one.rejected}"
    if one.lost:
        yield "thrown away"
