"""`iems-sieve translate`: rules of another program, or of mailsort.toml, printed.

They become Sieve for the server of a profile, or Mailsort, whose text form people read.

Each construct that has no counterpart is told on standard error with its line and the reason, and
the rule that depends on it is left out or disabled. With `--strict` nothing is printed then, and
neither where something would mean a little else. Without, the exit code is 0 for what was printed.
Nothing is printed of rules that the server would not take.
"""

from __future__ import annotations

import argparse
import json

from sieve.commands import rules
from sieve.diagnostic import Severity
from sieve.mailsort.write import to_toml
from sieve.main import NEGATIVE, OK
from sieve.script.printer import to_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, from what to what, and for which server."""
    parser.add_argument("rules", metavar="FILE|-", help="rules; - is standard input")
    parser.add_argument(
        "--from",
        dest="language",
        choices=(*rules.IMPORTED, "mailsort"),
        help="the language of the rules; default: what the file's name says",
    )
    parser.add_argument(
        "--to", choices=("sieve", "mailsort"), default="sieve", help="default: %(default)s"
    )
    parser.add_argument("--strict", action="store_true", help="only if all means the same")
    rules.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object, with the remarks")


def run(arguments: argparse.Namespace) -> int:
    """Print the translation."""
    profile, site = rules.profile_of(arguments), rules.site_of(arguments)
    done = rules.read(arguments.rules, arguments.language)
    text: str | None = None
    if arguments.to == "mailsort":
        text = None if done.mailsort is None else to_toml(done.mailsort)
    else:
        done = rules.compiled(done, profile, site)
        text = None if done.script is None else to_text(done.script)
    if arguments.strict and rules.worst(done.remarks) > Severity.NOTE:
        text = None
    if arguments.json:
        print(json.dumps({"text": text, "remarks": rules.rows(done.remarks)}))
    else:
        rules.told(arguments.rules, done.remarks)
        print(text or "", end="")
    return NEGATIVE if text is None else OK
