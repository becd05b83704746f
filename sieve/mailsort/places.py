"""On which line of a TOML text a value stands: tomllib gives values without their places.

The text is cut into its words here, and where it is a valid one those words are walked through. The
same cutting finds, before tomllib reads anything, what would cost it too much: it takes the square
of the parts of a dotted key, and the interpreter's stack for what is nested.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sieve.mailsort.kinds import Path

MOST_PARTS = 32
"""Of a dotted key."""
MOST_NESTED = 128
"""Brackets in brackets: 30 conditions in each other have 60 of them."""

_WORD = re.compile(r"[^\s.=,\[\]{}\"'#]+")
_OTHER = re.compile(
    rf"(?P<ends>\s*\n\s*)|(?P<nothing>[^\S\n]+|#[^\n]*)|{_WORD.pattern}|[.=,\[\]{{}}]"
)
_QUOTED = re.compile(r"\"[^\"\\\n]*(?:\\[^\n][^\"\\\n]*)*\"|'[^'\n]*'")
_OPEN = "[{"
_CLOSE = "]}"


@dataclass(frozen=True, slots=True)
class _Token:
    """A string, a run of other letters, one letter that parts them, or the end of lines."""

    text: str
    line: int


_END = _Token("", 0)


def _tokens(text: str) -> Iterator[_Token]:
    """All of a text, without blanks and comments; of a string that has no end nothing."""
    at, line, end = 0, 1, len(text)
    while at < end:
        if text[at] in "\"'":
            stop = _string_end(text, at)
            if stop is None:
                return
            yield _Token(text[at:stop], line)
        else:
            found = _OTHER.match(text, at)
            if found is None:
                return
            stop = found.end()
            if found.lastgroup != "nothing":
                yield _Token("\n" if found.lastgroup else found[0], line)
        line += text.count("\n", at, stop)
        at = stop
    yield _Token("\n", line)


def _string_end(text: str, at: int) -> int | None:
    mark = text[at] * 3
    if not text.startswith(mark, at):
        found = _QUOTED.match(text, at)
        return found.end() if found else None
    stop = at + 3
    while True:
        stop = text.find(mark, stop)
        if stop < 0:
            return None
        if mark[0] == "'" or not _escaped(text, stop, at + 3):
            break
        stop += 1
    stop += 3
    for _ in range(2):  # up to two quotes more belong to the text
        stop += text.startswith(mark[0], stop)
    return stop


def _escaped(text: str, at: int, start: int) -> bool:
    """Whether an odd number of backslashes stands before."""
    before = at
    while before > start and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1


def too_much(text: str) -> tuple[int, str] | None:
    """The line and the reason why tomllib is not to read this text; None if it may."""
    nested = parts = 0
    for one in _tokens(text):
        nested += (one.text in _OPEN) - (one.text in _CLOSE)
        parts = parts + 1 if one.text == "." else parts if _part(one.text) else 0
        if parts >= MOST_PARTS:
            return one.line, f"a key has more than {MOST_PARTS} parts"
        if nested > MOST_NESTED:
            return one.line, f"more than {MOST_NESTED} brackets stand in each other"
    return None


def _part(text: str) -> bool:
    return text[0] in "\"'" or _WORD.match(text) is not None


def lines(text: str, wanted: Iterable[Path]) -> dict[Path, int]:
    """The lines of these values of a valid text, and of all that they stand in, by their paths.

    The line of a table or list is that of its key, or of the first header that names it.
    """
    return _Walk(text.replace("\r\n", "\n"), wanted).found


class _Walk:
    """One way through the tokens of a valid text."""

    def __init__(self, text: str, wanted: Iterable[Path]) -> None:
        self.wanted = {path[:end] for path in wanted for end in range(1, len(path) + 1)}
        self.tokens = _tokens(text)
        self.now = next(self.tokens, _END)
        self.found: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}
        table: Path = ()
        while self.now is not _END:
            if self.passes("\n"):
                continue
            if self.at("["):
                table = self.header()
            else:
                self.pair(table)

    def at(self, *texts: str) -> bool:
        """Whether the token is one of these."""
        return self.now.text in texts

    def take(self) -> _Token:
        if self.now is _END:
            raise ValueError("the text is no valid TOML")
        found, self.now = self.now, next(self.tokens, _END)
        return found

    def passes(self, *texts: str) -> bool:
        """The same; then it is left behind."""
        found = self.at(*texts)
        if found:
            self.take()
        return found

    def note(self, path: Path, line: int) -> None:
        if path in self.wanted:
            self.found.setdefault(path, line)

    def header(self) -> Path:
        line = self.take().line
        several = self.passes("[")
        path: Path = ()
        for part in self.key():
            path = (*self.last(path), part)
            self.note(path, line)
        while self.passes("]"):
            pass
        if several:
            self.counts[path] = self.counts.get(path, 0) + 1
        path = self.last(path)
        self.note(path, line)
        return path

    def last(self, path: Path) -> Path:
        """The last table of an array of tables; any other path as it is."""
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def key(self) -> list[str]:
        parts = [_name(self.take().text)]
        while self.passes("."):
            parts.append(_name(self.take().text))
        return parts

    def pair(self, table: Path) -> None:
        line = self.now.line
        path = table
        for part in self.key():
            path = (*path, part)
            self.note(path, line)
        self.take()
        self.value(path)

    def value(self, path: Path) -> None:
        if path not in self.wanted:
            self.skip()
        elif self.passes("["):
            self.elements(path)
        elif self.passes("{"):
            while not self.passes("}"):
                self.pair(path)
                self.passes(",")
        else:
            self.skip()

    def elements(self, path: Path) -> None:
        index = 0
        while not self.passes("]"):
            if self.passes("\n", ","):
                continue
            self.note((*path, index), self.now.line)
            self.value((*path, index))
            index += 1

    def skip(self) -> None:
        """Leaves a whole value behind."""
        nested = 0
        while nested or not self.at(",", "]", "}", "\n"):
            text = self.take().text
            nested += (text in _OPEN) - (text in _CLOSE)


def _name(token: str) -> str:
    if token[0] not in "\"'":
        return token
    name: str = tomllib.loads(f"name = {token}")["name"]
    return name
