"""Archives by their kind: who reads which, and the zip that stands behind something else."""

from __future__ import annotations

from collections.abc import Iterator

from iems.archive import packed, rar, sevenzip, tar
from iems.archive import zip as zipped
from iems.archive.kind import Kind
from iems.archive.member import Budget, Fault, Member

_STREAMS = frozenset({"gzip", "bzip2", "xz", "lzma"})
_READERS = {
    "7z": sevenzip.members,
    "rar": rar.members,
    "rar5": rar.members,
    "tar": tar.members,
    "zip": zipped.members,
}


def is_archive(kind: Kind, octets: bytes) -> bool:
    """Whether somebody may find files in this."""
    return kind.family == "archive" or zipped.has_end(octets)


def members(
    kind: Kind, octets: bytes, names: tuple[str, ...], budget: Budget
) -> Iterator[Member | Fault]:
    """What is in an archive; `names` are its own. Whatever ends as a zip does is one for some."""
    if kind.word in _STREAMS:
        yield from packed.streams(octets, kind.word, names, budget)
    elif (reader := _READERS.get(kind.word)) is not None:
        yield from reader(octets, budget)
    elif kind.family == "archive":
        yield Fault.UNREAD
    if kind.word not in _READERS and zipped.has_end(octets):
        yield from zipped.members(octets, budget)
