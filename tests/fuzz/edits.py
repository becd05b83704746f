"""Laws of edits of messages of any bytes."""

from __future__ import annotations

from iems.edits.place import Place
from iems.edits.text import Block, Sealed, insert

_BLOCKS = tuple(
    Block("-- \nGrüße:", html, place, sealed, sealed, renew=renew)
    for html in ("", "<p>10 €</p>")
    for place in Place
    for sealed in Sealed
    for renew in (True, False)
)


def edits(data: bytes) -> None:
    """A text goes in or a reason is told, and a second time changes nothing.

    The first byte says which block.
    """
    block, message = _BLOCKS[(data[0] if data else 0) % len(_BLOCKS)], data[1:]
    once = insert(message, block)
    assert not (once.reason and once.splices)
    after = once.of(message)
    assert insert(after, block).of(after) == after
