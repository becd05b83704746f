"""Every file that any reader may take out of a message, and whether that is all of them.

Parts are looked at in all their readings (`iems.mime`), messages and multiparts that are encoded
once more as those see them who decode them. What cannot be looked at as a whole, as it has more
parts, levels or packed files than are looked at, is `malformed`, with what was found by then; where
there was no time for archives it is `late`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from iems.archive.kind import Kind
from iems.archive.member import Budget, Fault
from iems.codec.encoded import PIECES
from iems.edits.edit import EditError
from iems.edits.fields import header
from iems.mime.block import Block
from iems.mime.defect import Defect
from iems.mime.inside import File, contents
from iems.mime.part import Part
from iems.mime.transfer import TransferError, decode, line_end
from iems.mime.tree import parse

_MESSAGE = Kind("message", "text")
_TEXTS = ("text/plain", "text/html")
_UNSEEN = frozenset({Defect.TOO_MANY_PARTS, Defect.LONG_HEADER})
_DECODED = re.compile("64|quoted|printable")
"""In an encoding that is none: some readers decode it all the same."""

_HOLDERS = ("multipart", "message/")
_ENCODED = frozenset({"base64", "quoted-printable"})
_LEVELS = 3
"""Encoded parts in each other; RFC 2045 section 6.4 forbids the first."""

_BOUNDS = frozenset({Fault.TOO_LARGE, Fault.TOO_MANY, Fault.TOO_DEEP})


@dataclass(frozen=True, slots=True)
class Found:
    """A part, or a file in its text, and all files within it.

    `shown` is the one that people see as the attachment. It is none of `files` where it is the text
    of the message.
    """

    part: Part
    block: Block | None
    shown: File
    files: tuple[File, ...]

    @property
    def declared(self) -> str:
        """The type that the part says it has."""
        return self.part.content_type.word


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is in a message; `malformed` says for people why that may not be all."""

    found: tuple[Found, ...]
    malformed: str = ""
    late: bool = False


def inventory(data: bytes, until: float) -> Inventory:
    """All of the message; no archive is looked into after `until`."""
    found: list[Found] = []
    malformed, budget = "", Budget(until=until)
    try:
        for one in everywhere(data, budget):
            found.append(one)
            if not malformed and (fault := _bound(one.files)):
                malformed = f"a packed file is {fault.value} at {one.part.start}"
    except (EditError, TransferError) as error:
        malformed = str(error)
    return Inventory(tuple(found), malformed, budget.late)


def everywhere(data: bytes, budget: Budget, level: int = 0) -> Iterator[Found]:
    """What is found in all readings; EditError or TransferError where that is not all."""
    root = parse(data)
    look(data, root)
    for part in root.walk():
        yield from of_part(data, part, budget)
        if is_encoded(part):
            if level == _LEVELS:
                raise EditError("too many parts in each other are encoded")
            yield from everywhere(_decoded(data, part), budget, level + 1)


def look(data: bytes, root: Part) -> None:
    """EditError where there is more than was looked at."""
    for part in root.walk():
        for found in part.defects:
            odd = found.defect is Defect.ODD_ENCODING and _DECODED.search(part.encoding)
            if odd or found.defect in _UNSEEN:
                raise EditError(f"{found.defect.value} at {found.at}")
        if part.encoding == "base64" and data.count(b"=", part.body, part.end) > PIECES:
            raise EditError(f"base64 in too many pieces at {part.start}")


def of_part(data: bytes, part: Part, budget: Budget) -> Iterator[Found]:
    """What is found in one part, and not in those below it; EditError for too many in a text."""
    if part.parts and part.names:
        held = File(part.names, part.end - part.body, _MESSAGE)
        yield Found(part, None, held, (held,))
    for content in contents(part, data, budget):
        budget.blocks -= content.block is not None
        if budget.blocks < 0:
            raise EditError(f"too many files in the text at {part.start}")
        shown = content.files[0]
        first = content.block is None and _is_shown(part, shown)
        yield Found(part, content.block, shown, content.files[first:])


def is_text(part: Part) -> bool:
    """Whether it is a text that readers show."""
    return part.content_type.word in _TEXTS


def is_encoded(part: Part) -> bool:
    """Whether it has parts, or is a message, only for those who undo its encoding."""
    return part.encoding in _ENCODED and part.content_type.word.startswith(_HOLDERS)


def _is_shown(part: Part, file: File) -> bool:
    """Whether it is the text of a message and no attachment: what is shown without a name."""
    plain = file.kind.family == "text" or not file.size
    return plain and is_text(part) and not part.names and part.disposition.word != "attachment"


def _decoded(data: bytes, part: Part) -> bytes:
    """A multipart or message that is encoded, as a message: some readers decode it."""
    octets = decode(part.encoding, data[part.body : part.end])
    if part.content_type.word.startswith("message/"):
        return octets
    fields = header(data, part).named(b"content-type")
    return b"".join(field.raw for field in fields) + line_end(data) + octets


def _bound(files: tuple[File, ...]) -> Fault | None:
    """Which bound keeps files in an archive from being seen; what one file has is its own."""
    for at, file in enumerate(files):
        within = any(after.depth > file.depth for after in files[at + 1 : at + 2])
        holds = within or file.kind.family == "archive"
        if holds and (found := sorted(file.faults & _BOUNDS, key=lambda one: one.value)):
            return found[0]
    return None
