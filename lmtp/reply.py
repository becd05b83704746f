"""SMTP replies (RFC 5321 section 4.2, RFC 2034, RFC 3463) as values: ours, and those passed on.

The text of a reply of ours is a constant with at most a reference in it; nothing that a client or
an exception said is repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?= |$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """Code and lines of text; the enhanced code, where there is one, begins each line."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def positive(self) -> bool:
        """Whether the command was carried out (2xx)."""
        return 200 <= self.code < 300

    @property
    def temporary(self) -> bool:
        """Whether the client shall try again (4xx)."""
        return 400 <= self.code < 500

    @property
    def enhanced(self) -> str:
        """The enhanced code, for reports; made from the code where the server gave none."""
        found = _ENHANCED.match(self.lines[0]) if self.lines else None
        return found.group().decode() if found else f"{self.code // 100}.0.0"

    @property
    def wire(self) -> bytes:
        """The bytes that go to the client."""
        last = len(self.lines) - 1
        return b"".join(
            b"%d%c%s\r\n" % (self.code, b" " if at == last else b"-", line)
            for at, line in enumerate(self.lines)
        )

    def __str__(self) -> str:
        return " ".join([str(self.code), *(line.decode("utf-8", "replace") for line in self.lines)])


def reply(code: int, enhanced: str, text: str) -> Reply:
    """A reply of ours on one line; `text` is ASCII."""
    return Reply(code, (f"{enhanced} {text}".encode("ascii"),))
