"""maildrop's filtering language (maildropfilter(7)) as a tree: statements and expressions.

An end of line ends a statement, unless a backslash stands before it. A slash begins a pattern where
a value is expected, but not behind `=`, `to` and their like, where it is text. What is wrong raises
`SyntaxFault`, as maildrop itself takes no file with an error in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

_DEPTH = 30
_TOKENS = 200_000


class SyntaxFault(ValueError):  # noqa: N818 - SyntaxError is Python's own
    """The file is none that maildrop would take; `line` is where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is `text`, `raw` (in single quotes), `pattern`, `shell`, `mark` or `end` (of a line).

    A text's variables are still in it; `options` are those of a pattern; `bare` is a text without
    quotes, which may be a word of the language.
    """

    kind: str
    value: str
    line: int
    options: str = ""
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Pieces side by side; of each whether variables are filled in."""

    pieces: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, looked for in the message, or in `of`."""

    pattern: str
    options: str
    of: Expression | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator or a function with what it is applied to."""

    name: str
    of: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Shell:
    """The output of a program."""


Expression: TypeAlias = Text | Pattern | Operation | Shell


@dataclass(frozen=True, slots=True)
class Statement:
    """`word` is `=`, `if`, `expression`, or a word of the language; `name` is what `=` sets.

    The branches of an `if` are expressions, the last one None for `else`, and their blocks.
    `inside` are variables that its expressions set.
    """

    line: int
    word: str
    value: Expression | None = None
    name: str = ""
    block: tuple[Statement, ...] = ()
    branches: tuple[tuple[Expression | None, tuple[Statement, ...]], ...] = ()
    inside: tuple[str, ...] = ()


_BLANK = re.compile(r"(?:[ \t\f\r]|\\[ \t]*\r?\n|#[^\n]*)+")
_BARE = re.compile(r"(?:\$\{[^{}\s]*\}|[A-Za-z0-9_.:/$@-])+")
_MARK = re.compile(r"\|\||&&|<=|>=|==|!=|=~|[<>|&+*/!~(){};,=-]")
_PATTERN = re.compile(r"/((?:[^/\\\n]|\\.)*)/(?::([A-Za-z]*(?:,-?[0-9.]+){0,2}))?")
_QUOTED = re.compile(
    r'"((?:[^"\\]|\\.)*)"' + r"|'((?:[^'\\]|\\.)*)'" + r"|`((?:[^`\\]|\\.)*)`", re.S
)

_COMPARED = ("<", "<=", ">", ">=", "==", "!=", "lt", "le", "gt", "ge", "eq", "ne")
_LEVELS = (("||",), ("&&",), _COMPARED, ("|",), ("&",), ("+", "-"), ("*", "/"))
_WORDS = frozenset(
    ["to", "cc", "exit", "xfilter", "include", "import", "log", "logfile", "echo", "system"]
)
_BLOCKS = frozenset(["dotlock", "flock", "exception", "foreach", "while"])
_FUNCTIONS = frozenset(
    {
        *("escape", "gdbmopen", "gdbmclose", "gdbmfetch", "gdbmstore", "getaddr", "hasaddr"),
        *("length", "lookup", "substr", "time", "tolower", "toupper"),
    }
)

_BEFORE_TEXTS = (_WORDS | _BLOCKS) - {"foreach", "while", "exit", "exception"}
_BEFORE_VALUES = _WORDS | _BLOCKS | _FUNCTIONS | {*_COMPARED}


def parse(text: str) -> tuple[Statement, ...]:
    """The statements of a file."""
    tokens = list(_tokens(text))
    if len(tokens) > _TOKENS:
        raise SyntaxFault(0, f"more than {_TOKENS} words")
    reader = _Reader(tokens)
    return reader.statements("", 0)


def _tokens(text: str) -> Iterator[Token]:
    at, line, operand, given = 0, 1, False, False
    while at < len(text):
        if blank := _BLANK.match(text, at):
            line += blank[0].count("\n")
            at = blank.end()
            continue
        if text[at] == "\n":
            yield Token("end", "\n", line)
            at, line, operand, given = at + 1, line + 1, False, False
            continue
        found, match = _token(text, at, line, operand=operand, given=given)
        if found is None or match is None:
            raise SyntaxFault(line, f"unexpected {text[at : at + 20]!r}")
        yield found
        line += match[0].count("\n")
        given = found.kind == "mark" and found.value == "="
        given = given or (found.bare and found.value in _BEFORE_TEXTS)
        operand = found.kind not in {"mark", "end"} or found.value == ")"
        operand = operand and not (found.bare and found.value in _BEFORE_VALUES)
        at = match.end()


def _token(
    text: str, at: int, line: int, *, operand: bool, given: bool
) -> tuple[Token | None, re.Match[str] | None]:
    """The token that begins there; before it is a value, or (`given`) what a text follows."""
    if match := _QUOTED.match(text, at):
        double, single, shell = match.groups()
        if shell is not None:
            return Token("shell", shell, line), match
        if single is not None:
            return Token("raw", re.sub(r"\\(['\\])", r"\1", _joined(single)), line), match
        return Token("text", _joined(double), line), match
    if text[at] == "/" and not operand and not given and (match := _PATTERN.match(text, at)):
        return Token("pattern", match[1].replace("\\/", "/"), line, match[2] or ""), match
    if (text[at] not in "/-" or given) and (match := _BARE.match(text, at)):
        return Token("text", match[0], line, bare=True), match
    if match := _MARK.match(text, at):
        return Token("mark", match[0], line), match
    return None, None


def _joined(text: str) -> str:
    """Without the ends of lines that a backslash takes away."""
    return re.sub(r"\\\r?\n[ \t]*", "", text)


@dataclass(slots=True)
class _Reader:
    """Where we are among the tokens; `inside` are variables that the last expressions have set."""

    tokens: list[Token]
    at: int = 0
    inside: list[str] = field(default_factory=list)

    def statements(self, close: str, depth: int) -> tuple[Statement, ...]:
        """Statements up to the brace that closes them, or the end."""
        if depth > _DEPTH:
            raise SyntaxFault(self._line(), f"blocks are nested more than {_DEPTH} deep")
        found: list[Statement] = []
        while self.at < len(self.tokens):
            if self._takes("\n") or self._takes(";"):
                continue
            if close and self._takes(close):
                return tuple(found)
            found.append(self._statement(depth))
        if close:
            raise SyntaxFault(self._line(), "a block is not closed")
        return tuple(found)

    def _line(self) -> int:
        return self.tokens[min(self.at, len(self.tokens) - 1)].line if self.tokens else 0

    def _next(self) -> Token:
        if self.at >= len(self.tokens):
            raise SyntaxFault(self._line(), "the file ends in the middle of a statement")
        self.at += 1
        return self.tokens[self.at - 1]

    def _takes(self, value: str) -> bool:
        """Whether the next token is this mark, or end of a line; it is taken then."""
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind in {"mark", "end"} and token.value == value:
                self.at += 1
                return True
        return False

    def _expects(self, value: str) -> None:
        if not self._takes(value):
            raise SyntaxFault(self._line(), f"expected {value}")

    def _is_word(self, words: frozenset[str]) -> str:
        """The word of the language that comes next, if it is one of these."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        return token.value if token and token.bare and token.value in words else ""

    def _statement(self, depth: int) -> Statement:
        if self._is_word(frozenset({"if"})):
            return self._if(depth)
        one = self._simple()
        block = self._block(depth) if one.word in _BLOCKS else ()
        return replace(one, block=block)

    def _simple(self) -> Statement:
        """A statement without its block."""
        token = self.tokens[self.at]
        if token.kind in {"text", "raw"} and self._sets():
            self.at += 2
            value = self._expression(0)
            return Statement(token.line, "=", value, token.value, inside=self._inside())
        word = self._is_word(_WORDS | _BLOCKS)
        if not word:
            value = self._expression(0)
            return Statement(token.line, "expression", value, inside=self._inside())
        self.at += 1
        if word in {"exit", "exception"}:
            return Statement(token.line, word)
        if word == "import":
            return Statement(token.line, word, Text(((self._next().value, False),)))
        value = self._expression(0)
        return Statement(token.line, word, value, inside=self._inside())

    def _inside(self) -> tuple[str, ...]:
        found = tuple(self.inside)
        self.inside.clear()
        return found

    def _sets(self) -> bool:
        after = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None
        return after is not None and after.kind == "mark" and after.value == "="

    def _if(self, depth: int) -> Statement:
        line = self._next().line
        branches: list[tuple[Expression | None, tuple[Statement, ...]]] = []
        asked, inside = self._asked(), self._inside()
        branches.append((asked, self._block(depth)))
        while True:
            before = self.at
            while self._takes("\n"):
                pass
            word = self._is_word(frozenset({"elsif", "else"}))
            if not word:
                self.at = before
                break
            self.at += 1
            if word == "else":
                branches.append((None, self._block(depth)))
                break
            asked, inside = self._asked(), (*inside, *self._inside())
            branches.append((asked, self._block(depth)))
        return Statement(line, "if", branches=tuple(branches), inside=inside)

    def _asked(self) -> Expression:
        self._expects("(")
        return self._enclosed(0)

    def _enclosed(self, depth: int) -> Expression:
        """What stands behind a parenthesis and up to its end; it may set a variable."""
        sets = self._sets()
        if sets:
            self.inside.append(self._next().value)
            self.at += 1
        found = self._expression(0, depth)
        self._expects(")")
        return Operation("=", (found,)) if sets else found

    def _block(self, depth: int) -> tuple[Statement, ...]:
        """A block in braces, or one statement."""
        while self._takes("\n"):
            pass
        if self._takes("{"):
            return self.statements("}", depth + 1)
        if self.at >= len(self.tokens):
            raise SyntaxFault(self._line(), "expected a statement")
        if depth > _DEPTH:
            raise SyntaxFault(self._line(), f"blocks are nested more than {_DEPTH} deep")
        return (self._statement(depth + 1),)

    def _expression(self, level: int, depth: int = 0) -> Expression:
        if level == len(_LEVELS):
            return self._matched(depth)
        found = self._expression(level + 1, depth)
        while mark := self._operator(_LEVELS[level]):
            more = [found, self._expression(level + 1, depth)]
            while mark in {"||", "&&"} and self._operator((mark,)):
                more.append(self._expression(level + 1, depth))
            found = Operation(mark, tuple(more))
        return found

    def _operator(self, marks: tuple[str, ...]) -> str:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token and token.value in marks and (token.kind == "mark" or token.bare):
            self.at += 1
            return token.value
        return ""

    def _matched(self, depth: int) -> Expression:
        found = self._single(depth)
        if self._takes("=~"):
            token = self._next()
            if token.kind != "pattern":
                raise SyntaxFault(token.line, "expected a pattern behind =~")
            return Pattern(token.value, token.options, found)
        return found

    def _single(self, depth: int) -> Expression:
        token = self._next()
        if depth > _DEPTH:
            raise SyntaxFault(token.line, f"expressions are nested more than {_DEPTH} deep")
        if token.kind == "mark" and token.value in {"!", "~"}:
            return Operation(token.value, (self._matched(depth + 1),))
        if token.kind == "mark" and token.value == "(":
            return self._enclosed(depth + 1)
        if token.kind == "pattern":
            return Pattern(token.value, token.options)
        if token.kind == "shell":
            return Shell()
        if token.kind not in {"text", "raw"}:
            raise SyntaxFault(token.line, f"unexpected {token.value!r}")
        if token.bare and token.value in _FUNCTIONS:
            return Operation(token.value, self._arguments(depth))
        pieces = [(token.value, token.kind == "text")]
        while self.at < len(self.tokens) and self._more():
            token = self._next()
            pieces.append((token.value, token.kind == "text"))
        return Text(tuple(pieces))

    def _more(self) -> bool:
        """Whether another literal stands beside the last one."""
        token = self.tokens[self.at]
        words = {name for level in _LEVELS for name in level} | _WORDS
        return token.kind in {"text", "raw"} and not (token.bare and token.value in words)

    def _arguments(self, depth: int) -> tuple[Expression, ...]:
        if not self._takes("("):
            more = self.at < len(self.tokens) and self._more()
            return (self._single(depth + 1),) if more else ()
        found: list[Expression] = []
        while not self._takes(")"):
            found.append(self._expression(0, depth + 1))
            self._takes(",")
        return tuple(found)
