"""Regular expressions over text from outside, by RE2: no pattern and no text can stall us.

RE2 has neither look-around nor back-references and works in time linear in the text; what remains
is the size of the compiled pattern, and that is bounded here. The only place that knows RE2.
"""

from __future__ import annotations

from dataclasses import dataclass

import re2

from iems.codec.printable import printable

_LENGTH = 1000
"""Characters of a pattern."""

_MEMORY = 1 << 20
"""Bytes that RE2 may take for one pattern: its program and the states that it builds of it."""

_PROGRAM = 1000
"""Instructions: where the states do not fit, RE2 walks the program for each byte of the text. The
worst patterns found took 7 ns for each, so that 64 KiB of text cost them half a second."""


class PatternError(ValueError):
    """The pattern is none that RE2 takes; the message says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern."""

    source: str
    compiled: re2._Regexp

    @classmethod
    def compile(cls, source: str, *, case: bool) -> Pattern:
        """The pattern, which heeds upper and lower case if `case` says so."""
        if len(source) > _LENGTH:
            raise PatternError(f"it has more than {_LENGTH} characters")
        options = re2.Options()
        options.max_mem = _MEMORY
        options.case_sensitive = case
        options.never_capture = True
        options.log_errors = False
        try:
            compiled = re2.compile(source.encode("utf-8", "surrogatepass"), options)
        except re2.error as error:
            raise PatternError(printable(error.args[0])) from None
        if compiled.programsize > _PROGRAM:
            raise PatternError(f"it needs more than {_PROGRAM} instructions")
        return cls(source, compiled)

    @property
    def size(self) -> int:
        """Its instructions."""
        return int(self.compiled.programsize)

    def found(self, text: str) -> bool:
        """Whether it matches anywhere in the text."""
        return self.compiled.search(text.encode("utf-8", "replace")) is not None
