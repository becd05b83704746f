"""The expressions of maildrop (maildropfilter(7)) as conditions of Mailsort, and as texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sieve.importing.fields import anywhere
from sieve.importing.imported import (
    Collector,
    UntranslatedError,
    addresses,
    any_of,
    every,
    none_of,
    plain,
)
from sieve.importing.lines import sender, tested
from sieve.importing.mailfilter import Expression, Operation, Pattern, Text
from sieve.importing.rcwords import HOME, USER, Variables
from sieve.importing.regex import Dialect, parse
from sieve.mailsort.rule import (
    AddressTest,
    BodyTest,
    Condition,
    Operator,
    Party,
    SizeTest,
)

_KEPT = 2048
"""Characters of a value."""

_NAME = re.compile(r"\\\$|\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
OF_MESSAGE = re.compile(r"FROM|SIZE|LINES|MATCH\d*|RETURNCODE|HOSTNAME|\d+")
"""Variables of which only a message, a machine or a caller tells."""


@dataclass(slots=True)
class Conditions:
    """Expressions of one statement."""

    variables: Variables
    remarks: Collector
    line: int

    def text(self, value: Expression | None) -> str | None:
        """The text that an expression is, None where it is not known."""
        if not isinstance(value, Text):
            return None
        found = ""
        for piece, filled in value.pieces:
            more = self._filled(piece) if filled else piece
            if more is None or len(found) + len(more) > _KEPT:
                return None
            found += more
        return found

    def _filled(self, piece: str) -> str | None:
        """A text in double quotes, its variables filled in."""
        found, at = "", 0
        for match in _NAME.finditer(piece):
            name = match[1] or match[2]
            value = "$" if name is None else self._value(name)
            if value is None or len(found) > _KEPT:
                return None
            found += re.sub(r'\\([\\"])', r"\1", piece[at : match.start()]) + value
            at = match.end()
        return found + re.sub(r'\\([\\"])', r"\1", piece[at:])

    def _value(self, name: str) -> str | None:
        unset = None if OF_MESSAGE.fullmatch(name) else ""
        return self.variables.known.get(name, unset)

    def of(self, asked: Expression) -> Condition | None:
        """The condition; None where it is true of every message, or of none."""
        if isinstance(asked, Pattern):
            return self._pattern(asked)
        if isinstance(asked, Operation):
            return self._operation(asked)
        if self.text(asked) is None:
            raise UntranslatedError("it asks a program, or for what is not known")
        return None

    def _operation(self, asked: Operation) -> Condition:
        if asked.name in {"||", "&&", "!"}:
            found = []
            for one in asked.of:
                condition = self.of(one)
                if condition is None:
                    raise UntranslatedError("a part of it is the same for all mail")
                found.append(condition)
            if asked.name == "!":
                return none_of(*found)
            return any_of(tuple(found)) if asked.name == "||" else every(tuple(found))
        if asked.name == "hasaddr" and len(asked.of) == 1:
            return self._address(self.text(asked.of[0]))
        if len(asked.of) == 2:
            left, right = asked.of
            variable, value = self._variable(left), self.text(right)
            if variable == "SIZE" and value is not None:
                return _size(asked.name, value)
            if variable == "FROM" and value is not None and asked.name in {"eq", "ne"}:
                self.remarks.warning(self.line, "upper and lower case are never told apart")
                given = plain(self.variables.plain(value), "it")
                test = AddressTest(Party.ENVELOPE_FROM, Operator.IS, (given,))
                return test if asked.name == "eq" else none_of(test)
        raise UntranslatedError(f"{asked.name} has no counterpart here")

    def _variable(self, value: Expression) -> str:
        """The variable of a message that an expression is, if it has not been set."""
        if isinstance(value, Text) and len(value.pieces) == 1 and value.pieces[0][1]:
            match = _NAME.fullmatch(value.pieces[0][0])
            name = (match[1] or match[2] or "") if match else ""
            return "" if self.variables.known.get(name) is not None else name
        return ""

    def _address(self, value: str | None) -> Condition:
        if value is None:
            raise UntranslatedError("it asks for an address that is not known")
        one = addresses([self.variables.plain(value)])
        self.remarks.warning(self.line, "hasaddr: To and Cc are meant, without Resent-To and -Cc")
        return any_of(tuple(AddressTest(party, Operator.IS, one) for party in (Party.TO, Party.CC)))

    def _pattern(self, asked: Pattern) -> Condition:
        options, *weights = asked.options.split(",")
        if weights:
            raise UntranslatedError("it is a score")
        words = self._expanded(asked.pattern)
        if set(options) - set("hbD"):
            raise UntranslatedError(f"a pattern has no option {options[:20]}")
        if "D" in options and any(map(str.isalpha, re.sub(r"\\.", "", words))):
            raise UntranslatedError("upper and lower case are never told apart")
        self.remarks.spend(words)
        pattern = parse(words, Dialect.PCRE)
        if asked.of is not None:
            if self._variable(asked.of) != "FROM":
                raise UntranslatedError("it compares with what is not known before")
            return sender(pattern)
        if "b" not in options:
            return any_of(tested(pattern, self.remarks, self.line, envelope=False))
        if "h" in options:
            raise UntranslatedError("it looks in header and body at once")
        by: dict[Operator, list[str]] = {}
        for operator, value in anywhere(pattern):
            by.setdefault(operator, []).append(value)
        return any_of(tuple(BodyTest(one, tuple(values)) for one, values in by.items()))

    def _expanded(self, pattern: str) -> str:
        """A pattern with its variables filled in; a `$` at an end is the end of a line."""
        found, at = "", 0
        for match in _NAME.finditer(pattern):
            name = match[1] or match[2]
            value = match[0] if name is None else self._value(name)
            if value is None or HOME in value or USER in value or len(found) > _KEPT:
                raise UntranslatedError("it uses a variable whose value is not known")
            found += pattern[at : match.start()] + value
            at = match.end()
        return plain(found + pattern[at:], "it")


def _size(name: str, value: str) -> Condition:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise UntranslatedError("expected a number of bytes")
    octets = int(value)
    if name in {">", ">="}:
        return SizeTest(True, max(octets - (name == ">="), 0))
    if name in {"<", "<="}:
        return SizeTest(False, octets + (name == "<="))
    raise UntranslatedError(f"a size is compared by {name}")
