"""Laws of the tree of a message's parts, and of the files in texts, TNEF and archives."""

from __future__ import annotations

from iems.archive.member import Budget, Member
from iems.edits.seven_bit import seven_bit
from iems.mime.block import blocks as files_in
from iems.mime.inside import files
from iems.mime.name import extensions, folded
from iems.mime.tnef import read_tnef
from iems.mime.tree import parse


def mime(data: bytes) -> None:
    """All offsets are in order and inside of those of the part above, in every reading."""
    for part in parse(data).walk():
        assert 0 <= part.start <= part.body <= part.end <= len(data)
        inside = sorted([*part.delimiters, *((one.start, one.end) for one in part.parts)])
        edges = [edge for span in inside for edge in span]
        assert edges == sorted(edges)
        assert not edges or (part.body <= edges[0] and edges[-1] <= part.end)
        assert all(
            data[start:end].lstrip(b"\r\n").startswith(b"--") for start, end in part.delimiters
        )
        assert all(isinstance(name, str) for name in part.names)


def recoded(data: bytes) -> None:
    """What is left alone is told why, if at all; what is made 7-bit is not made so again."""
    edit = seven_bit(data)
    assert not (edit.splices and edit.reason)
    assert not edit.splices or not seven_bit(edit.of(data)).splices


def blocks(data: bytes) -> None:
    """They are in order and apart, and hold no more than a run of BinHex can make of a text."""
    end = 0
    for block in files_in(data):
        assert end <= block.start < block.end <= len(data)
        assert len(block.octets) <= 128 * (block.end - block.start)
        end = block.end


def tnef(data: bytes) -> None:
    """What is attached is from the stream, and a name has no end in it."""
    for one in read_tnef(data).attachments:
        assert one.octets in data
        assert all(name and "\0" not in name for name in one.names)


def archives(data: bytes) -> None:
    """The first is the file itself; each other one is in the one before, or beside it."""
    budget = Budget(octets=16 << 20, members=200)
    depth = -1
    for one in files(Member((), None, data), budget):
        assert 0 <= one.depth <= min(depth + 1, 8)
        assert one.size is None or one.size >= 0
        assert all(one.names)
        depth = one.depth


def names(data: bytes) -> None:
    """What is folded is folded, and has no folder and no end that is dropped."""
    name = folded(data.decode("utf-8", "replace"))
    assert folded(name) == name
    assert "/" not in name
    assert name == name.strip(" .") or name.startswith(".")
    assert not extensions(name) or extensions(name)[-1]
