"""`iems mime tree MESSAGE`: the parts of a message, without a server and without settings.

For each part its offsets (where the header begins, where the body begins, and its end), its type,
its names, and what is wrong with it. Where readers are known to take the same bytes for something
else, the other readings stand below the part, after `or`.
Exit 0 if nothing is wrong with the message's structure, 1 if something is, 2 if it cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from iems.codec.printable import printable
from iems.mime.part import Part
from iems.mime.tree import parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`tree MESSAGE`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    tree = verbs.add_parser("tree", help="the parts of a message with their offsets")
    tree.add_argument("message", metavar="MESSAGE", help="a file, or - for standard input")
    tree.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the tree."""
    name = arguments.message
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        print(f"iems: {name}: {error.strerror}", file=sys.stderr)
        return 2
    root = parse(data)
    if arguments.json:
        print(json.dumps(_described(root), indent=2))
    else:
        for line in _lines(root, ""):
            print(line)
    return 1 if any(part.defects for part in root.walk()) else 0


def _lines(part: Part, indent: str) -> Iterator[str]:
    names = " ".join(f'"{printable(name)}"' for name in part.names)
    words = [printable(part.content_type.word) or "-", printable(part.encoding), names]
    yield f"{indent}{part.start} {part.body} {part.end} {' '.join(filter(None, words))}"
    for found in part.defects:
        yield f"{indent}  ! {found.defect.value} at {found.at}"
    for one in part.parts:
        yield from _lines(one, f"{indent}  ")
    for other in part.others:
        yield f"{indent}or"
        yield from _lines(other, indent)


def _described(part: Part) -> dict[str, object]:
    return {
        "start": part.start,
        "body": part.body,
        "end": part.end,
        "type": part.content_type.word,
        "encoding": part.encoding,
        "disposition": part.disposition.word,
        "names": list(part.names),
        "delimiters": [list(span) for span in part.delimiters],
        "defects": [{"defect": found.defect.value, "at": found.at} for found in part.defects],
        "parts": [_described(one) for one in part.parts],
        "others": [_described(other) for other in part.others],
    }
