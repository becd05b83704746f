"""Laws of the tree of a message's parts."""

from __future__ import annotations

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
