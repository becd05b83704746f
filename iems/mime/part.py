"""A part of a message as a node of its tree: where its bytes are, and what readers take it for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from iems.codec.encoded import readings
from iems.mime.defect import Found
from iems.mime.value import Value


@dataclass(frozen=True)
class Part:
    """A header and a body: the bytes `start` to `body`, the empty line included, and to `end`.

    All numbers are offsets into the message. `parts` are those of a multipart, or the message in a
    message/rfc822; `delimiters` are the lines between them with their line ends, so that what is
    before the first one is the preamble, and what is behind the last one the epilogue.

    `others` are what other readers make of the same bytes, where they are known to differ.
    """

    start: int
    body: int
    end: int
    content_type: Value
    disposition: Value
    encoding: str
    """The Content-Transfer-Encoding in lower case; 7bit where there is none."""

    parts: tuple[Part, ...] = ()
    delimiters: tuple[tuple[int, int], ...] = ()
    defects: tuple[Found, ...] = ()
    others: tuple[Part, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All file names that a reader may show, decoded; what most of them show first."""
        values = (*self.disposition.all("filename"), *self.content_type.all("name"))
        return tuple(dict.fromkeys(itertools.chain(*map(readings, values))))

    def walk(self) -> Iterator[Part]:
        """This part, all below it, and all other readings, in the order in which they stand."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting += reversed((*part.parts, *part.others))
