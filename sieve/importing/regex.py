"""Regular expressions of procmail and of maildrop (PCRE), read as trees.

Their reader knows what both have and a POSIX expression can say; what it does not raises
`UntranslatedError`.
"""

from __future__ import annotations

import enum
import re
import string
from dataclasses import dataclass
from typing import TypeAlias

from sieve.importing.imported import UntranslatedError

_LENGTH = 2000
"""Characters of a pattern: procmail's own line buffer has 2,048."""

_DEPTH = 15


class Dialect(enum.Enum):
    """Whose expressions they are."""

    PROCMAIL = "procmail"
    PCRE = "PCRE"


class Edge(enum.Enum):
    """The begin or the end of a line."""

    BEGIN = "^"
    END = "$"


@dataclass(frozen=True, slots=True)
class Char:
    """This character."""

    char: str


@dataclass(frozen=True, slots=True)
class Set:
    """One of these ranges of characters, or none of them; `edges`: or the edge of the line."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False
    edges: bool = False

    def __contains__(self, char: str) -> bool:
        return self.negated != any(low <= char <= high for low, high in self.ranges)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences."""

    of: tuple[Sequence, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Something and how often: nothing for once, `*`, `+`, `?` or `{n,m}`."""

    atom: Char | Set | Choice | Edge
    times: str = ""

    @property
    def optional(self) -> bool:
        """Whether nothing will do."""
        return self.times in {"*", "?"} or self.times.startswith("{0")


Sequence: TypeAlias = tuple[Piece, ...]

ANY = Set((), negated=True)
BLANK = Set(((" ", " "), ("\t", "\t")))
_WORD = (("a", "z"), ("A", "Z"), ("0", "9"), ("_", "_"))
WORD_EDGE = Set(_WORD, negated=True, edges=True)
"""procmail's `\\<` and `\\>`: a character that is of no word, or a line's edge."""

_TEXT = string.ascii_letters + string.digits + " .-"
"""Of a set without all of these hardly more than letters beyond ASCII is left."""

_CLASS = re.compile(r"([:.=])[^\]\\]*\1\]")
"""Behind a bracket: it is a class in none (pcre2pattern(3))."""

_PCRE_SETS = {
    "s": BLANK,
    "S": Set(BLANK.ranges, negated=True),
    "d": Set((("0", "9"),)),
    "D": Set((("0", "9"),), negated=True),
    "w": Set(_WORD),
    "W": Set(_WORD, negated=True),
}
_CLASSES = {
    "alpha": (("a", "z"), ("A", "Z")),
    "digit": (("0", "9"),),
    "alnum": (("a", "z"), ("A", "Z"), ("0", "9")),
    "upper": (("A", "Z"),),
    "lower": (("a", "z"),),
    "space": BLANK.ranges,
    "blank": BLANK.ranges,
    "xdigit": (("0", "9"), ("a", "f"), ("A", "F")),
}


def parse(pattern: str, dialect: Dialect) -> Choice:
    """The pattern as a tree."""
    if len(pattern) > _LENGTH:
        raise UntranslatedError(f"its expression has more than {_LENGTH} characters")
    reader = _Reader(pattern, dialect)
    found = reader.choice(0)
    if reader.at < len(pattern):
        raise UntranslatedError("a parenthesis is closed that was not opened")
    return found


@dataclass(slots=True)
class _Reader:
    """Where we are in a pattern."""

    text: str
    dialect: Dialect
    at: int = 0

    def choice(self, depth: int) -> Choice:
        if depth > _DEPTH:
            raise UntranslatedError(f"its expression is nested more than {_DEPTH} deep")
        found = [self._sequence(depth)]
        while self._take("|"):
            found.append(self._sequence(depth))
        return Choice(tuple(found))

    def _take(self, char: str) -> bool:
        if self.text[self.at : self.at + len(char)] != char:
            return False
        self.at += len(char)
        return True

    def _sequence(self, depth: int) -> Sequence:
        found: list[Piece] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            atom = self._atom(depth)
            if atom is not None:
                found.append(Piece(atom, self._times(atom)))
        return tuple(found)

    def _atom(self, depth: int) -> Char | Set | Choice | Edge | None:
        char = self.text[self.at]
        self.at += 1
        if char == "(":
            if self.dialect is Dialect.PCRE and self._take("?") and not self._take(":"):
                raise UntranslatedError("its expression has an extension of Perl, (?")
            inner = self.choice(depth + 1)
            if not self._take(")"):
                raise UntranslatedError("a parenthesis is not closed")
            return inner
        if char == "[":
            if self.dialect is Dialect.PCRE and _CLASS.match(self.text, self.at):
                raise UntranslatedError("a class stands in no bracket, which PCRE refuses")
            return self._set()
        if char == ".":
            return ANY
        if char in "*+?":
            raise UntranslatedError(f"nothing stands before {char}")
        if char in "^$":
            if char == "^" and self.dialect is Dialect.PROCMAIL and self._take("^"):
                raise UntranslatedError("^^ asks for the whole header or body, and not for a field")
            return Edge(char)
        if char == "\\":
            return self._escaped()
        return Char(char)

    def _escaped(self) -> Char | Set | None:
        if self.at >= len(self.text):
            raise UntranslatedError("its expression ends with a backslash")
        char = self.text[self.at]
        self.at += 1
        if self.dialect is Dialect.PROCMAIL:
            if char in "<>":
                return WORD_EDGE
            return None if char == "/" else Char(char)
        if char in _PCRE_SETS:
            return _PCRE_SETS[char]
        if char == "t":
            return Char("\t")
        if char.isalnum():
            raise UntranslatedError(f"its expression has \\{char}")
        return Char(char)

    def _times(self, atom: Char | Set | Choice | Edge) -> str:
        found = ""
        if self.at < len(self.text) and self.text[self.at] in "*+?":
            found = self.text[self.at]
            self.at += 1
        elif self.dialect is Dialect.PCRE and self._take("{"):
            end = self.text.find("}", self.at)
            low, comma, high = self.text[self.at : end].partition(",")
            if not (low.isdecimal() and low.isascii() and len(low) < 3 and len(high) < 3):
                raise UntranslatedError("expected {n}, {n,} or {n,m} with numbers below 100")
            if high and not (high.isdecimal() and high.isascii() and int(low) <= int(high)):
                raise UntranslatedError("expected {n}, {n,} or {n,m} with numbers below 100")
            self.at = end + 1
            found = f"{{{int(low)}{comma}{int(high) if high else ''}}}"
        if found and isinstance(atom, Edge):
            raise UntranslatedError("an edge of a line is repeated")
        if found and self.at < len(self.text) and self.text[self.at] in "*+?":
            if self.dialect is Dialect.PROCMAIL or self.text[self.at] != "?":
                raise UntranslatedError("a repetition is repeated")
            self.at += 1  # a lazy one finds the same lines
        return found

    def _set(self) -> Set:
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        first = True
        while first or not self._take("]"):
            first = False
            if self.at >= len(self.text):
                raise UntranslatedError("a bracket is not closed")
            ranges += self._range()
        if any(not high.isascii() for _low, high in ranges):
            raise UntranslatedError("a bracket holds letters that are not ASCII")
        if negated and all(any(low <= one <= high for low, high in ranges) for one in _TEXT):
            raise UntranslatedError("it looks for letters beyond ASCII, which are decoded here")
        return Set(tuple(dict.fromkeys(ranges)), negated)

    def _range(self) -> tuple[tuple[str, str], ...]:
        if self.dialect is Dialect.PCRE and self._take("[:"):
            name, found, _rest = self.text[self.at :].partition(":]")
            if not found or name not in _CLASSES:
                raise UntranslatedError(f"its expression has the class [:{name[:20]}")
            self.at += len(name) + 2
            return _CLASSES[name]
        low = self.text[self.at]
        self.at += 1
        if low == "\\" and self.dialect is Dialect.PCRE:
            atom = self._escaped()
            if isinstance(atom, Set):
                if atom.negated:
                    raise UntranslatedError("a bracket holds the contrary of a set")
                return atom.ranges
            low = atom.char if atom else ""
        if self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in {
            "",
            "]",
        }:
            high = self.text[self.at + 1]
            self.at += 2
            if high < low or high in "[\\":
                raise UntranslatedError(f"a bracket holds the range {low}-{high}")
            return ((low, high),)
        return ((low, low),)
