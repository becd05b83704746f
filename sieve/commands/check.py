"""`iems-sieve check`: what is wrong with files of rules, each with its line or rule.

Rules of every language are read and compiled, scripts of Sieve are read; then it is asked whether
the server has what they need. Exit 0 if nothing is an error, with `--strict` if nothing is a
warning either.
"""

from __future__ import annotations

import argparse
import json

from sieve.commands import rules
from sieve.diagnostic import Severity
from sieve.main import NEGATIVE, OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files, and for which server they are."""
    parser.add_argument("rules", nargs="+", metavar="FILE|-", help="rules or scripts")
    parser.add_argument(
        "--from",
        dest="language",
        choices=rules.FORMATS,
        help="the language of all of them; default: what each file's name says",
    )
    parser.add_argument("--strict", action="store_true", help="warnings are errors")
    rules.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON list, an object a file")


def run(arguments: argparse.Namespace) -> int:
    """Print all remarks about all files."""
    profile, site = rules.profile_of(arguments), rules.site_of(arguments)
    allowed = Severity.NOTE if arguments.strict else Severity.WARNING
    code, table = OK, []
    for name in arguments.rules:
        remarks = rules.compiled(rules.read(name, arguments.language), profile, site).remarks
        if rules.worst(remarks) > allowed:
            code = NEGATIVE
        table.append({"file": name, "remarks": rules.rows(remarks)})
        if not arguments.json:
            rules.told(name, remarks)
    if arguments.json:
        print(json.dumps(table))
    return code
