"""`iems mime tree MESSAGE`: the parts of a message, without a server and without settings.

For each part its offsets (where the header begins, where the body begins, and its end), its type,
its names, and what is wrong with it; after `>` the files that it holds, and the files in those.
Where readers are known to take the same bytes for something else, the other readings stand below
the part, after `or`.
Exit 0 if nothing is wrong with the structure and with the files, 1 if something is, 2 if the
message cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from iems.archive.member import Budget
from iems.codec.printable import printable
from iems.mime.inside import Content, contents
from iems.mime.part import Part
from iems.mime.tree import parse

_SECONDS = 30
"""For all archives of the message."""

_TEXTS = frozenset({"text", "html", "empty"})


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
    root, held = parse(data), _Held(data)
    if arguments.json:
        print(json.dumps(_described(root, held), indent=2))
    else:
        for line in _lines(root, held, ""):
            print(line)
    return 1 if held.faults or any(part.defects for part in root.walk()) else 0


class _Held:
    """What the parts hold, and whether anything was wrong with that."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._budget = Budget(until=time.monotonic() + _SECONDS)
        self.faults = False

    def by(self, part: Part) -> list[Content]:
        """What this one does."""
        found = list(contents(part, self._data, self._budget))
        self.faults |= any(file.faults for one in found for file in one.files)
        return found


def _lines(part: Part, held: _Held, indent: str) -> Iterator[str]:
    names = " ".join(f'"{printable(name)}"' for name in part.names)
    words = [printable(part.content_type.word) or "-", printable(part.encoding), names]
    yield f"{indent}{part.start} {part.body} {part.end} {' '.join(filter(None, words))}"
    for found in part.defects:
        yield f"{indent}  ! {found.defect.value} at {found.at}"
    for content in held.by(part):
        yield from _files(content, f"{indent}  ")
    for one in part.parts:
        yield from _lines(one, held, f"{indent}  ")
    for other in part.others:
        yield f"{indent}or"
        yield from _lines(other, held, indent)


def _files(content: Content, indent: str) -> Iterator[str]:
    """All but a part that is a mere text."""
    first, *within = content.files
    if content.block is None and not within and not first.faults and first.kind.word in _TEXTS:
        return
    for file in content.files:
        block = content.block if file is first else None
        place = f"{block.form.value} {block.start} {block.end} " if block else ""
        size = "?" if file.size is None else str(file.size)
        own = file is first and block is None  # its names stand in the line of the part
        names = "" if own else "".join(f' "{printable(name)}"' for name in file.names)
        deeper = f"{indent}{'  ' * file.depth}"
        yield f"{deeper}> {place}{file.kind.word} {size}{names}"
        for fault in sorted(one.value for one in file.faults):
            yield f"{deeper}  ! {fault}"


def _described(part: Part, held: _Held) -> dict[str, object]:
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
        "contents": [_content(one) for one in held.by(part)],
        "parts": [_described(one, held) for one in part.parts],
        "others": [_described(other, held) for other in part.others],
    }


def _content(content: Content) -> dict[str, object]:
    block = content.block
    return {
        "block": block and {"form": block.form.value, "start": block.start, "end": block.end},
        "files": [
            {
                "names": list(file.names),
                "size": file.size,
                "kind": file.kind.word,
                "family": file.kind.family,
                "faults": sorted(one.value for one in file.faults),
                "depth": file.depth,
            }
            for file in content.files
        ],
    }
