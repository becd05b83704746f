"""What a part holds: its octets, the files that stand in its text, and all that is packed in them.

Each file is told with its names, its size and what it is by its content, and the files in it after
it; none of their octets is kept. All of a message is bounded by one `Budget`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from iems.archive.kind import LOCKED_OFFICE, UNKNOWN, ZIP, Kind, kind_of, kind_of_zip
from iems.archive.member import Budget, Fault, Member
from iems.archive.read import is_archive, members
from iems.codec.encoded import readings
from iems.mime.block import Block, blocks
from iems.mime.part import Part
from iems.mime.tnef import is_tnef, read_tnef
from iems.mime.transfer import decodings

_DEPTH = 8
"""Archives in archives."""

_NAMES = 50
"""Names of a packed file, from the first on and up to the last one: readers take one of these."""

_TYPES = "[Content_Types].xml"
_NONE: frozenset[Fault] = frozenset()


@dataclass(frozen=True, slots=True)
class File:
    """A file in the part, or in another file; `depth` is how many it is in."""

    names: tuple[str, ...]
    size: int | None
    kind: Kind
    faults: frozenset[Fault] = frozenset()
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """What a reader may save from a part: the files are itself and all within.

    `block` is where it stands in the part's text, None where the whole part is meant.
    """

    block: Block | None
    files: tuple[File, ...]


def contents(part: Part, data: bytes, budget: Budget) -> Iterator[Content]:
    """The part itself by each decoding, and the files in its text; nothing where it has parts."""
    if part.parts:
        return
    first, *others = decodings(part.encoding, data[part.body : part.end])
    for octets in (first, *others):
        yield Content(None, files(Member(part.names, len(octets), octets), budget))
    if may_hold_files(part):
        for block in blocks(first):
            faults = _NONE if block.whole else frozenset({Fault.BROKEN})
            names = tuple(filter(None, dict.fromkeys(readings(block.name))))
            member = Member(names, len(block.octets), block.octets, faults)
            yield Content(replace(block, octets=b""), files(member, budget))


def may_hold_files(part: Part) -> bool:
    """Whether readers look for files in its text."""
    word = part.content_type.word
    return word.startswith("text") or "binhex" in word or part.encoding.startswith(("x-", "uu"))


def files(member: Member, budget: Budget, depth: int = 0) -> tuple[File, ...]:
    """The file and all within it."""
    octets, faults = member.octets, set(member.faults)
    kind = UNKNOWN if octets is None else kind_of(octets)
    found: list[File] = []
    listed: list[str] = []
    types = b""
    if octets and (is_tnef(octets) or is_archive(kind, octets)):
        if depth >= _DEPTH:
            faults.add(Fault.TOO_DEEP)
        else:
            for one in _within(kind, octets, member.names, budget):
                if isinstance(one, Fault):
                    faults.add(one)
                    continue
                packed = _bounded(one)
                listed += packed.names
                types += packed.octets or b"" if _TYPES in packed.names else b""
                found += files(packed, budget, depth + 1)
    if kind in {ZIP, UNKNOWN} and listed:
        kind = kind_of_zip(tuple(listed), types)
    if kind == LOCKED_OFFICE:
        faults.add(Fault.ENCRYPTED)
    sizes = [
        one for one in (member.size, None if octets is None else len(octets)) if one is not None
    ]
    names, size = _all(member.names), max(sizes, default=None)
    return File(names, size, kind, frozenset(faults), depth), *found


def _within(
    kind: Kind, octets: bytes, names: tuple[str, ...], budget: Budget
) -> Iterator[Member | Fault]:
    if not is_tnef(octets):
        yield from members(kind, octets, names, budget)
        return
    tnef = read_tnef(octets)
    for one in tnef.attachments:
        if (end := budget.end()) is not None:
            yield end
            return
        budget.spend(len(one.octets))
        yield Member(one.names, len(one.octets), one.octets)
    if not tnef.whole:
        yield Fault.BROKEN


def _bounded(member: Member) -> Member:
    """With no more names than anybody has a use for."""
    names = member.names
    if len(names) <= 2 * _NAMES:
        return member
    faults = member.faults | {Fault.TOO_MANY}
    return replace(member, names=(*names[:_NAMES], *names[-_NAMES:]), faults=faults)


def _all(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each name, and what stands before a NUL in it: for some readers it ends there."""
    found = (one for name in names for one in (name, name.partition("\0")[0]))
    return tuple(filter(None, dict.fromkeys(found)))
