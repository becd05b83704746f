"""A message on its way out of the milter: what Postfix holds, and what edits have made of it.

Edits follow each other, each made against the bytes that the one before has left, and what Postfix
is told in the end is one difference: fields that have another value, that are gone, that are new,
and the body once. A field that is the same is not told, and stays as it came, byte for byte.

An edit needs the whole message in memory, so one of more than LIMIT bytes is not edited; nor is one
whose new fields libmilter cannot carry. EditError says so, and the draft stays as it is. Of those
of more than LIGHT bytes a process edits one at a time (`turn`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from iems.codec.canonical import content
from iems.codec.header import parse_header, split_message
from iems.edits.edit import Edit as Change
from iems.edits.edit import EditError
from iems.model.message import Body, Field, HeaderBlock
from iems.store.spool import MemoryBody
from milters.reply import ChangeHeader, Edit, InsertHeader, ReplaceBody

LIMIT = 16 << 20
"""Bytes of a message that is edited: six times as many are in memory then."""

LIGHT = 1 << 20
"""Bytes of one that waits for no other."""

_turn = threading.Lock()

_Step: TypeAlias = tuple[Field | None, Field | None]
"""A field as it was and as it is: the same one, changed, gone (None behind), or new."""


@dataclass(frozen=True)
class Draft:
    """`received` is what Postfix has told; `header` and `body` are what the message is now.

    The body begins with the empty line; None where nobody has kept it.
    """

    received: HeaderBlock
    header: HeaderBlock
    body: Body | None
    _replaced: bool = field(default=False, repr=False)

    @property
    def fault(self) -> str:
        """Why it cannot be edited, if it cannot."""
        if self.body is None:
            return "its body could not be kept"
        return f"it has more than {LIMIT} bytes" if self.size > LIMIT else ""

    @property
    def size(self) -> int:
        """Bytes, as far as it was kept."""
        return len(self.header.raw) + (self.body.size if self.body else 0)

    @property
    def data(self) -> bytes:
        """The whole message, to be edited: EditError or OSError where that cannot be.

        It is not kept, since drafts live until the message is done.
        """
        if self.body is None or self.fault:
            raise EditError(self.fault)
        return self.header.raw + b"".join(self.body.pieces())

    def content(self) -> Iterator[bytes]:
        """What stands behind the empty line, in pieces; OSError where it cannot be read."""
        return content(self.body.pieces()) if self.body else iter(())

    def edited(self, change: Change) -> Draft:
        """With a change that was made against `data`."""
        if not change.splices:
            return self
        head, body = split_message(change.of(self.data))
        return Draft(self.received, self._settled(parse_header(head)), MemoryBody(body), True)

    def without(self, fields: Collection[Field]) -> Draft:
        """Without these fields of its header."""
        if not fields:
            return self
        starts = {one.start for one in fields}
        rest = b"".join(one.raw for one in self.header.fields if one.start not in starts)
        return Draft(self.received, parse_header(rest), self.body, self._replaced)

    def difference(self) -> tuple[Edit, ...]:
        """What to tell Postfix, in this order: indices are those at the time of each."""
        same = self.header is self.received
        steps = [] if same else list(_steps(self.received.fields, self.header.fields))
        changed = (
            ChangeHeader(new.name, old.occurrence, new.value)
            for old, new in steps
            if old and new and old.raw != new.raw
        )
        gone = [
            ChangeHeader(old.name, old.occurrence, None) for old, new in steps if old and not new
        ]
        body = (ReplaceBody(b"".join(self.content())),) if self._replaced else ()
        return (*changed, *reversed(gone), *_insertions(steps), *body)

    def _settled(self, header: HeaderBlock) -> HeaderBlock:
        """The header as it is once Postfix has written the fields that are new."""
        steps = _steps(self.received.fields, header.fields)
        return parse_header(b"".join(_written(old, new) for old, new in steps if new))


@contextlib.contextmanager
def turn(draft: Draft, seconds: float, lock: threading.Lock = _turn) -> Iterator[None]:
    """The draft may be edited now, by who has the lock; OSError where others take too long."""
    waits = LIGHT < draft.size <= LIMIT
    if waits and not lock.acquire(timeout=seconds):
        raise TimeoutError("other messages take too long")
    try:
        yield
    finally:
        if waits:
            lock.release()


def _steps(before: Sequence[Field], after: Sequence[Field]) -> Iterator[_Step]:
    """From one header to another, in the order of the latter: in linear time, so not the shortest.

    A field that only changed its place is one that is gone, and one that is new.
    """
    left, right = Counter(one.raw for one in before), Counter(one.raw for one in after)
    at = 0
    for new in after:
        kept = False
        while at < len(before) and not kept:
            old = before[at]
            further, again = right[old.raw] > 0, left[new.raw] > 0
            kept = old.raw == new.raw or (old.key == new.key and not further and not again)
            if not kept and further and not again:
                break
            left[old.raw] -= 1
            at += 1
            yield old, new if kept else None
        right[new.raw] -= 1
        if not kept:
            yield None, new
    yield from ((old, None) for old in before[at:])


def _insertions(steps: Iterable[_Step]) -> Iterator[Edit]:
    """The new fields, from the top: those that nothing follows are added at the end.

    Postfix's own Received stands above all that a filter sees.
    """
    after = [(old, new) for old, new in steps if new]
    last = max((at for at, (old, _new) in enumerate(after) if old), default=-1)
    for at, (old, new) in enumerate(after):
        if old is None and at < last:
            yield InsertHeader(at + 1, new.name, new.value)
        elif old is None:
            yield ChangeHeader(new.name, new.occurrence, new.value)


def _written(old: Field | None, new: Field) -> bytes:
    """The field as Postfix has it in the end; EditError where it cannot be handed over."""
    if old is not None and old.raw == new.raw:
        return new.raw
    value = new.value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    try:
        value.decode()
    except UnicodeDecodeError:
        raise EditError(f"its new {new.name.decode()} is not UTF-8") from None
    if not new.name or b"\0" in value:
        raise EditError("a line of its new header is no field")
    blank = b"" if value.startswith((b" ", b"\t")) else b" "
    return b"%s:%s%s\r\n" % (new.name, blank, value)
