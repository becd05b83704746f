"""`iems edit text`: put a block of plain text and HTML into a message (docs/text.md)."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from cli.edit.filter import read_text, through
from iems.edits.place import Place
from iems.edits.text import Block, Sealed, insert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What goes where, and what is done with mail that cannot be changed inside."""
    places, sealed = [one.value for one in Place], [one.value for one in Sealed]
    parser.add_argument(
        "--plain", type=Path, required=True, metavar="FILE", help="the text, in UTF-8"
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="the same in HTML, as it stands in the body of a page; unless given, made of the text",
    )
    parser.add_argument(
        "--place", choices=places, default=Place.BOTTOM.value, help="where it goes; bottom"
    )
    for kind in ("signed", "encrypted"):
        parser.add_argument(
            f"--{kind}",
            choices=sealed,
            default=Sealed.SKIP.value,
            help=f"leave {kind} mail as it is (the default), put the text beside it, or reject it",
        )
    parser.add_argument(
        "--marker", default="text", metavar="WORD", help="by which a later run knows it; text"
    )
    parser.add_argument(
        "--renew", action="store_true", help="take away copies elsewhere, as in what is answered"
    )


def run(arguments: argparse.Namespace) -> int:
    """Edit the message."""
    try:
        block = Block(
            read_text(arguments.plain),
            "" if arguments.html is None else read_text(arguments.html),
            Place(arguments.place),
            Sealed(arguments.signed),
            Sealed(arguments.encrypted),
            arguments.marker,
            arguments.renew,
        )
    except OSError as error:
        print(f"iems: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"iems: {error}", file=sys.stderr)
        return 2
    return through(partial(insert, block=block))
