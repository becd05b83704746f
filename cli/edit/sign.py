"""`iems edit sign`: sign a message by DKIM with a key in a file (docs/dkim.md)."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from cli.edit.filter import through
from cli.signer import domain, selector
from iems.codec.keypair import PrivateKeyError, read_private
from iems.edits.dkim_sign import Signer, sign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """In whose name, and by which key."""
    parser.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="the private key, in PEM"
    )
    parser.add_argument(
        "--domain", type=domain, required=True, metavar="DOMAIN", help="who signs (d=)"
    )
    parser.add_argument(
        "--selector", type=selector, required=True, metavar="NAME", help="which of its keys (s=)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Sign the message."""
    try:
        key = read_private(arguments.key.read_bytes())
    except OSError as error:
        print(f"iems: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except PrivateKeyError as error:
        print(f"iems: {arguments.key}: {error}", file=sys.stderr)
        return 2
    signer = Signer(arguments.domain, arguments.selector, key)
    return through(partial(sign, signer=signer, now=int(time.time())))
