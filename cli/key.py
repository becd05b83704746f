"""`iems key create FILE`: a new keyring for X-IEMS-Findings, readable by its group alone."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from iems.store.keys import create


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`create FILE`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    made = verbs.add_parser("create", help="write a new keyring; an existing file is left alone")
    made.add_argument("file", type=Path)


def run(arguments: argparse.Namespace) -> int:
    """Exit 1 where the file exists."""
    try:
        create(arguments.file, time.strftime("k%Y%m%d", time.gmtime()))
    except FileExistsError:
        print(f"iems: {arguments.file} exists", file=sys.stderr)
        return 1
    print(f"wrote {arguments.file}")
    return 0
