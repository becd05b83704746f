"""Sieve text as a tree: the whole grammar of RFC 5228 section 8, within bounds.

It knows no command by name but `require`, and whether arguments fit a command is not its matter.
What is required says how strings are read: `${hex:...}` is decoded if `encoded-character` is, and
`${name}` is a variable if `variables` is. Comments above commands are kept, others are not.
"""

from __future__ import annotations

import re
from typing import NoReturn

from sieve.script.grammar import REFERENCE
from sieve.script.printer import DOLLAR, sets_dollar
from sieve.script.tree import Argument, Command, Number, Script, Tag, Test, Text, Texts, nodes

MAX_OCTETS = 4 * 2**20
"""Four times what Pigeonhole takes unless it is told otherwise."""

MAX_NESTING = 100
"""Blocks and tests in each other; Pigeonhole takes 32 of each."""

_MAX_NUMBER = 2**31 - 1
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

_SPACE = re.compile(r"[ \t\n]++")
_COMMENT = re.compile(r"#([^\n]*+)|/\*(.*?)\*/", re.DOTALL)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*+"
_TOKEN = re.compile(
    r"""(?P<lines>[Tt][Ee][Xx][Tt]:[ \t]*+(?:\#[^\n]*+)?\n)
    | "(?P<string>(?:[^"\\]++|\\.)*+)"
    | :(?P<tag>NAME)
    | (?P<number>[0-9]++[KMGkmg]?)(?![A-Za-z0-9_])
    | (?P<name>NAME)
    | (?P<sign>[][(){},;])""".replace("NAME", _NAME),
    re.DOTALL | re.VERBOSE,
)
_LAST_LINE = re.compile(r"^\.$", re.MULTILINE)
_STUFFED = re.compile(r"^\.\.", re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_DOLLARS = re.compile(r"\$\{dollar\}(?=\{[A-Za-z0-9_.]+\})", re.IGNORECASE)
"""The printer's form of a dollar that begins no variable."""

_ENCODED = re.compile(
    r"\$\{(?:hex:(?P<hex>\s*[0-9a-f]{1,2}(?:\s+[0-9a-f]{1,2})*\s*)"
    r"|unicode:(?P<unicode>\s*[0-9a-f]{1,6}(?:\s+[0-9a-f]{1,6})*\s*))\}",
    re.IGNORECASE | re.ASCII,
)


class SieveError(ValueError):
    """What is no Sieve, and in which line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


def parse(text: bytes) -> Script:
    """The tree; SieveError for what is no Sieve, no UTF-8 or out of bounds.

    `parse(to_text(script).encode())` is `script`, but that a list of one string has become that
    string, CRLF in a text a line feed, and a text without a variable is not to be expanded.
    """
    if len(text) > MAX_OCTETS:
        raise SieveError(1, f"the script has {len(text)} octets, and {MAX_OCTETS} are read")
    try:
        decoded = text.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SieveError(text.count(b"\n", 0, error.start) + 1, "this is no UTF-8") from None
    for bad, name in (("\0", "NUL"), ("\r", "carriage return alone")):
        if bad in decoded:
            raise SieveError(_line(decoded, decoded.index(bad)), f"there is a {name}")
    return _Parser(decoded).script()


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


class _Parser:
    """One pass by recursive descent; `kind` and `token` are what comes next, from `begin` on.

    `above` are the comments on lines of their own before it, parted by empty lines; the last of
    them touches it. `unset` is where the variable `dollar` is first used without the printer's.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = self.begin = 0
        self.kind = self.token = ""
        self.above: list[list[str]] = []
        self.required: set[str] = set()
        self.dollar = False
        self.unset: int | None = None
        self.advance()

    def script(self) -> Script:
        top = self.above if self.at("name", "require") or not self.kind else self.above[:-1]
        self.above = self.above[len(top) :]
        while self.at("name", "require"):
            self.require()
        commands: list[Command] = []
        while self.kind:
            one = self.command(0)
            if not commands and "variables" in self.required:
                self.dollar = (one.name, one.arguments) == (DOLLAR.name, DOLLAR.arguments)
            commands.append(one)
        if self.dollar:
            del commands[0]
        inside = nodes(tuple(commands))
        sets = any(isinstance(one, Command) and sets_dollar(one) for one in inside)
        if self.dollar and sets:
            self.fail("the variable 'dollar' is set again, which nobody needs and we don't read")
        if self.unset is not None and not sets:
            self.begin = self.unset
            self.fail("the variable 'dollar' is set nowhere, and would be a dollar where we print")
        return Script(tuple(commands), tuple(line for group in top for line in group))

    def require(self) -> None:
        self.advance()
        arguments = self.arguments()
        match arguments:
            case [Text() as one]:
                self.required.add(one.value)
            case [Texts(several)]:
                self.required.update(one.value for one in several)
            case _:
                self.fail("'require' is followed by the names of extensions")
        self.expect(";")

    def command(self, depth: int) -> Command:
        comment = tuple(line for group in self.above for line in group)
        name = self.expect_name("a command")
        if name == "require":
            self.fail("'require' stands before all other commands")
        arguments = self.arguments()
        tests = self.tests(depth)
        if len(tests) > 1:
            self.fail(f"{name!r} has one test")
        test = tests[0] if tests else None
        if self.at("sign", ";"):
            self.advance()
            return Command(name, arguments, test, None, comment)
        self.expect("{", "';' or '{'")
        self.deeper(depth)
        block = []
        while not self.at("sign", "}"):
            block.append(self.command(depth + 1))
        self.advance()
        return Command(name, arguments, test, tuple(block), comment)

    def tests(self, depth: int) -> tuple[Test, ...]:
        if self.kind == "name":
            return (self.test(depth),)
        if not self.at("sign", "("):
            return ()
        self.advance()
        tests = [self.test(depth)]
        while self.at("sign", ","):
            self.advance()
            tests.append(self.test(depth))
        self.expect(")", "',' or ')'")
        return tuple(tests)

    def test(self, depth: int) -> Test:
        self.deeper(depth)
        name = self.expect_name("a test")
        return Test(name, self.arguments(), self.tests(depth + 1))

    def arguments(self) -> tuple[Argument, ...]:
        arguments: list[Argument] = []
        while True:
            if self.kind == "tag":
                arguments.append(Tag(self.token.lower()))
                self.advance()
            elif self.kind == "number":
                arguments.append(Number(self.number()))
                self.advance()
            elif self.kind in {"string", "lines"}:
                arguments.append(self.string())
            elif self.at("sign", "["):
                arguments.append(self.strings())
            else:
                return tuple(arguments)

    def strings(self) -> Text | Texts:
        self.advance()
        values = [self.string()]
        while self.at("sign", ","):
            self.advance()
            values.append(self.string())
        self.expect("]", "',' or ']'")
        return values[0] if len(values) == 1 else Texts(tuple(values))

    def string(self) -> Text:
        if self.kind not in {"string", "lines"}:
            self.fail(f"{self.found()} stands where a string is expected")
        value, begin = self.token, self.begin
        if "encoded-character" in self.required:
            value = _ENCODED.sub(self.decoded, value)
        self.advance()
        names = REFERENCE.findall(value) if "variables" in self.required else ()
        if not self.dollar and self.unset is None and "dollar" in map(str.lower, names):
            self.unset = begin
        if self.dollar and names and len(_DOLLARS.findall(value)) == len(names):
            return Text(_DOLLARS.sub("$", value))
        return Text(value, expand=bool(names))

    def decoded(self, match: re.Match[str]) -> str:
        try:
            if match["hex"]:
                return bytes(int(one, 16) for one in match["hex"].split()).decode()
            letters = "".join(chr(int(one, 16)) for one in match["unicode"].split())
            return letters.encode().decode()  # half a character has no bytes
        except (ValueError, OverflowError):
            self.fail(f"{match[0]!r} is no character")

    def number(self) -> int:
        digits = self.token.rstrip("KMGkmg")
        value = int(digits.lstrip("0")[:11] or "0") * _UNITS[self.token[len(digits) :].lower()]
        if value > _MAX_NUMBER:
            self.fail(f"{self.token[:20]} is more than {_MAX_NUMBER}")
        return value

    def advance(self) -> None:
        """To the next token; `kind` is empty at the end."""
        self.skip()
        self.begin = self.place
        if self.place == len(self.text):
            self.kind = self.token = ""
            return
        match = _TOKEN.match(self.text, self.place)
        if match is None or match.lastgroup is None:
            if self.text[self.place] == '"':
                self.fail("this string has no end")
            self.fail(f"{self.text[self.place]!r} is not expected here")
        self.kind, self.place = match.lastgroup, match.end()
        self.token = match[self.kind]
        if self.kind == "string":
            self.token = _ESCAPED.sub(r"\1", self.token)
        elif self.kind == "lines":
            end = _LAST_LINE.search(self.text, self.place)
            if end is None:
                self.fail("this text has no line with a dot alone at its end")
            self.token = _STUFFED.sub(".", self.text[self.place : end.start()])
            self.place = end.end()

    def skip(self) -> None:
        self.above, touches, own_line = [], False, self.place == 0
        while True:
            if space := _SPACE.match(self.text, self.place):
                own_line = own_line or "\n" in space[0]
                touches = touches and space[0].count("\n") < 2
                self.place = space.end()
            elif comment := _COMMENT.match(self.text, self.place):
                if own_line and not touches:
                    self.above.append([])
                if own_line:
                    self.above[-1] += _lines(comment)
                    touches = True
                self.place = comment.end()
            else:
                break
        if self.above and not touches:
            self.above.append([])

    def at(self, kind: str, token: str) -> bool:
        return self.kind == kind and self.token.lower() == token

    def expect(self, sign: str, words: str = "") -> None:
        if not self.at("sign", sign):
            self.fail(f"{self.found()} stands where {words or repr(sign)} is expected")
        self.advance()

    def expect_name(self, words: str) -> str:
        if self.kind != "name":
            self.fail(f"{self.found()} stands where {words} is expected")
        name = self.token.lower()
        self.advance()
        return name

    def found(self) -> str:
        return repr(self.text[self.begin : self.begin + 20]) if self.kind else "the end"

    def deeper(self, depth: int) -> None:
        if depth >= MAX_NESTING:
            self.fail(f"blocks and tests are nested more than {MAX_NESTING} deep")

    def fail(self, message: str) -> NoReturn:
        raise SieveError(_line(self.text, self.begin), message)


def _lines(comment: re.Match[str]) -> list[str]:
    if comment[1] is not None:
        return [comment[1].removeprefix(" ").rstrip()]
    return [line.strip(" *\t") for line in comment[2].strip().split("\n")]
