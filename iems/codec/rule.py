"""A rule about the fields of a header: is there one of this name whose value passes the test?

A rule is a value: whoever has its parts, out of settings or a directory, makes it by `of`, which
compiles what is to be compiled and refuses what cannot be meant. Applying one reads a bounded part
of a message; a header with more than that is `UNREAD`, which is neither yes nor no.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from iems.codec.encoded import decoded, text
from iems.codec.pattern import Pattern, PatternError
from iems.model.message import Field, HeaderBlock

OCCURRENCES = 100
"""Fields of the rule's name that are read: Postfix lets a message have 50 Received fields."""

OCTETS = 1 << 16
"""Bytes of their values that are read, see `iems.codec.pattern`."""

_NAME = re.compile(r"[!-9;-~]{1,100}")
_VALUE = 1000
"""Characters of a value."""


class Operator(enum.Enum):
    """What is asked of a field."""

    PRESENT = "present"
    ABSENT = "absent"
    EQUALS = "equals"
    CONTAINS = "contains"
    MATCHES = "matches"

    @property
    def of_values(self) -> bool:
        """Whether values are looked at."""
        return self not in {Operator.PRESENT, Operator.ABSENT}


class Result(enum.Enum):
    """What a rule says of a header."""

    MATCHED = "matched"
    CLEAR = "clear"
    UNREAD = "unread"


class RuleError(ValueError):
    """The parts make no rule: `part` is the wrong one, the message says what is expected."""

    def __init__(self, part: str, expected: str) -> None:
        super().__init__(expected)
        self.part = part


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """One rule; `value` is in lower case where case is not heeded."""

    field: str
    test: Operator
    value: str
    decoded: bool
    case: bool
    pattern: Pattern | None

    @classmethod
    def of(
        cls,
        field: str,
        test: Operator,
        value: str = "",
        *,
        decoded: bool = True,
        case: bool = False,
    ) -> HeaderRule:
        """The rule of these parts; RuleError where they make none."""
        if not _NAME.fullmatch(field):
            raise RuleError("field", "expected the name of a header field, without a colon")
        if test.of_values != bool(value):
            wanted = "a value" if test.of_values else "none"
            raise RuleError("value", f"expected {wanted} with the test {test.value}")
        if len(value) > _VALUE:
            raise RuleError("value", f"expected at most {_VALUE} characters")
        pattern = None
        if test is Operator.MATCHES:
            try:
                pattern = Pattern.compile(value, case=case)
            except PatternError as error:
                raise RuleError("value", f"expected a pattern of RE2: {error}") from None
        return cls(field, test, value if case else value.casefold(), decoded, case, pattern)

    def apply(self, block: HeaderBlock) -> tuple[Result, Field | None]:
        """What it says, and of which field."""
        fields = block.named(self.field.encode("ascii"))
        if not self.test.of_values:
            matched = bool(fields) == (self.test is Operator.PRESENT)
            return (Result.MATCHED, fields[0] if fields else None) if matched else _CLEAR
        octets = 0
        for field in fields:
            octets += len(field.value)
            if field.occurrence > OCCURRENCES or octets > OCTETS:
                return Result.UNREAD, field
            if self._passes(self.shown(block, field)):
                return Result.MATCHED, field
        return _CLEAR

    def shown(self, block: HeaderBlock, field: Field) -> str:
        """The value of this field of the block as the rule reads it."""
        key = (field.start, self.decoded)
        if key not in block.texts:
            block.texts[key] = decoded(field.value) if self.decoded else text(field.value)
        return block.texts[key]

    def _passes(self, value: str) -> bool:
        if self.pattern is not None:
            return self.pattern.found(value)
        compared = value if self.case else value.casefold()
        if self.test is Operator.EQUALS:
            return compared.strip() == self.value.strip()
        return self.value in compared


_CLEAR = (Result.CLEAR, None)
