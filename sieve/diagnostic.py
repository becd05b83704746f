"""What somebody is to know about his rules: where, how bad, and what was expected."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.IntEnum):
    """`NOTE`: it is so; `WARNING`: it means a little else; `ERROR`: it is not done."""

    NOTE = 0
    WARNING = 1
    ERROR = 2

    @property
    def word(self) -> str:
        """As it is printed."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One remark; `line` counts from 1 in the text that was read, 0 where none is known."""

    severity: Severity
    message: str
    rule: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = ", ".join(
            one
            for one in (
                f"line {self.line}" if self.line else "",
                f'rule "{self.rule}"' if self.rule else "",
            )
            if one
        )
        return f"{self.severity.word}: {where}{': ' if where else ''}{self.message}"
