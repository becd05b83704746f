"""Sieve trees for hypothesis: any that can be printed, and those that a server compiles.

Both are as the parser gives them: no list of one, no comment that a line cannot hold, and a text is
to be expanded if there is a variable in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from hypothesis import strategies as st

from sieve.script.grammar import COMMANDS, TESTS, Form, Kind
from sieve.script.parser import parse
from sieve.script.tree import Argument, Command, Number, Script, Tag, Text, Texts
from sieve.script.tree import Test as Asked

Node = TypeVar("Node", Asked, Command)
Place = st.SearchStrategy[list[Argument]]

UNDRAWN = {
    # of extensions that Pigeonhole has only where it is told so
    *("ereject", "metadata", "metadataexists", "servermetadata", "servermetadataexists"),
    *("spamtest", "virustest", "specialuse_exists"),
    # of scripts that would have to be there
    *("include", "return", "global"),
}
"""What `SOUND_SCRIPT` does not draw."""

_PIECES = st.sampled_from(
    [
        *(
            "${x}",
            "${1}",
            "${dollar}{x}",
            "${hex:41}",
            "$",
            "{x}",
            '"',
            "\\",
            "\n",
            "\n.",
            "\n..\n",
        ),
        *("*/", "/*", "#", ";", "text:\n", "Grüße", "=?utf-8?q?a?=", "a@b.example", " ", "\t"),
    ]
)
_ANY_LETTER = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")
_WORDS = st.lists(_PIECES | st.text(_ANY_LETTER, max_size=5), max_size=6).map("".join)
_EXPANDED = _WORDS.map(lambda words: f"${{x}} {words.replace('${dollar}', '')}")
_TEXT = _WORDS.map(Text) | _EXPANDED.map(lambda words: Text(words, expand=True))

_LINE = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("ü漢"))
_COMMENT = st.lists(_LINE.map(str.rstrip), max_size=2).map(tuple)
_NUMBER = (st.integers(0, 2**31 - 1) | st.integers(0, 30).map(lambda n: 2**n)).map(Number)


def _list(text: st.SearchStrategy[Text]) -> st.SearchStrategy[Text | Texts]:
    return text | st.lists(text, min_size=2, max_size=4).map(lambda some: Texts(tuple(some)))


def _joined(lists: Iterable[list[Argument]]) -> list[Argument]:
    return [one for each in lists for one in each]


def _just(one: st.SearchStrategy[Argument]) -> Place:
    return one.map(lambda argument: [argument])


def _perhaps(*places: Place) -> Place:
    """Each of these, or not."""
    return st.tuples(*(st.just([]) | one for one in places)).map(_joined)


def _tag(name: str, value: st.SearchStrategy[Argument] | None = None) -> Place:
    if value is None:
        return st.just([Tag(name)])
    return value.map(lambda argument: [Tag(name), argument])


def _one_of(*names: str) -> Place:
    return st.sampled_from(names).map(lambda name: [Tag(name)])


def _either(*values: str) -> st.SearchStrategy[Text]:
    return st.sampled_from(values).map(Text)


# Any script.

_ARGUMENT = _just(_list(_TEXT) | _NUMBER)
_TAKEN = {
    None: st.just([]),
    Kind.TEXT: _just(_TEXT),
    Kind.TEXTS: _just(_list(_TEXT)),
    Kind.NUMBER: _just(_NUMBER),
}


def _arguments(form: Form) -> st.SearchStrategy[tuple[Argument, ...]]:
    tags = [
        st.tuples(_tag(name), _TAKEN[option.takes]).map(_joined)
        for name, option in sorted(form.options.items())
        if name != "comparator"
    ]
    return st.lists(st.one_of(_ARGUMENT, *tags), max_size=4).map(
        lambda drawn: tuple(_joined(drawn))
    )


@st.composite
def _any_test(draw: st.DrawFn, depth: int = 2) -> Asked:
    name = draw(st.sampled_from(sorted(TESTS)))
    inner = draw(st.lists(_any_test(depth - 1), max_size=3)) if depth else []
    return Asked(name, draw(_arguments(TESTS[name])), tuple(inner))


@st.composite
def _any_command(draw: st.DrawFn, depth: int = 2) -> Command:
    name = draw(st.sampled_from(sorted(COMMANDS)))
    block = draw(st.none() | st.lists(_any_command(depth - 1), max_size=3)) if depth else None
    return Command(
        name,
        draw(_arguments(COMMANDS[name])),
        draw(st.none() | _any_test()),
        None if block is None else tuple(block),
        draw(_COMMENT),
    )


ANY_SCRIPT = st.builds(Script, st.lists(_any_command(), max_size=4).map(tuple), _COMMENT)
"""Of every name and tag of the grammar, with arguments that need not fit."""

# Scripts that mean something.

_KEYS = _just(_list(_TEXT))
_FLAGS = _list(_either("\\Seen", "\\Flagged", "$Label1", "NonJunk"))
_FOLDER = _just(_either("Junk", "a/b", 'say "no"', "back\\slash", "Grüße", "x.y", "&", "#1"))
_FIELDS = _just(_list(_either("Subject", "From", "X-Spam-Level", "List-Id")))
_SENDERS = _just(_list(_either("From", "To", "Reply-To")))
_SOME_TEXT = _just(_TEXT)
_PARTS = _perhaps(_one_of("all", "localpart", "domain", "user", "detail"))
_INDEX = _perhaps(st.tuples(_tag("index", st.just(Number(2))), _perhaps(_tag("last"))).map(_joined))
_LETTERS = _either("i;octet", "i;ascii-casemap")
_COMPARATOR = _LETTERS | _either("i;ascii-numeric")
_PATTERNS = _just(_list(_either("^a.*b$", "[[:alpha:]]+@(x|y)", r"\$\{x\}", '"')))
_DATE_PART = _just(_either("date", "time", "weekday", "hour", "year", "iso8601"))
_DATE = _just(_either("Date", "Received"))
_ZONE = _tag("zone", _either("+0100", "-0330"))


def _command(name: str, *places: Place) -> st.SearchStrategy[Command]:
    return st.tuples(*places).map(lambda drawn: Command(name, tuple(_joined(drawn))))


def _test(name: str, *places: Place) -> st.SearchStrategy[Asked]:
    return st.tuples(*places).map(lambda drawn: Asked(name, tuple(_joined(drawn))))


def _compared(name: str, *places: Place) -> st.SearchStrategy[Asked]:
    """A test that ends with keys, in each of the ways there are to compare with them."""
    whole = _perhaps(_tag("is")), _perhaps(_tag("comparator", _COMPARATOR))
    part = _one_of("contains", "matches"), _perhaps(_tag("comparator", _LETTERS))
    relation = _either("gt", "ge", "lt", "le", "eq", "ne")
    numbers = (
        st.tuples(_one_of("count", "value"), _just(relation)).map(_joined),
        _tag("comparator", _either("i;ascii-numeric")),
    )
    return st.one_of(
        _test(name, *whole, *places, _KEYS),
        _test(name, *part, *places, _KEYS),
        _test(name, _tag("regex"), *places, _PATTERNS),
        _test(name, *numbers, *places, _just(_list(_either("0", "12")))),
    )


_TEST = st.recursive(
    st.one_of(
        _test("true"),
        _test("false"),
        _compared("header", _INDEX, _FIELDS),
        _compared("address", _PARTS, _INDEX, _SENDERS),
        _compared("envelope", _PARTS, _just(_list(_either("from", "to")))),
        _test("exists", _FIELDS),
        _test("size", _one_of("over", "under"), _just(_NUMBER)),
        _compared(
            "body",
            _perhaps(_one_of("raw", "text") | _tag("content", _list(_either("text", "text/html")))),
        ),
        _compared("date", _perhaps(_ZONE | _tag("originalzone")), _DATE, _DATE_PART),
        _compared("currentdate", _perhaps(_ZONE), _DATE_PART),
        _compared("string", _KEYS),
        _compared("hasflag", _perhaps(_just(_list(_either("seen", "x"))))),
        _compared("environment", _just(_either("domain", "name"))),
        _test("mailboxexists", _just(_list(_either("INBOX", "a/b")))),
        _test("valid_notify_method", _just(_list(_either("mailto:a@b.example", "x:")))),
        _compared(
            "notify_method_capability",
            _just(_either("mailto:a@b.example")),
            _just(_either("online")),
        ),
        _test(
            "duplicate",
            _perhaps(
                _tag("handle", _either("x", "y")),
                _tag("header", _either("X-Id")) | _tag("uniqueid", _TEXT),
                _tag("seconds", st.just(Number(60))),
                _tag("last"),
            ),
        ),
    ),
    lambda inner: st.builds(
        lambda name, some: Asked(name, (), tuple(some if name != "not" else some[:1])),
        st.sampled_from(["allof", "anyof", "not"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)

_SIMPLE = st.one_of(
    _command("keep", _perhaps(_tag("flags", _FLAGS))),
    _command("discard"),
    _command("stop"),
    _command("redirect", _perhaps(_tag("copy")), _just(_either("a@b.example", '"x y"@b.example'))),
    _command("fileinto", _perhaps(_tag("copy"), _tag("create"), _tag("flags", _FLAGS)), _FOLDER),
    _command("reject", _SOME_TEXT),
    _command("setflag", _just(_FLAGS)),
    _command("addflag", _perhaps(_just(_either("seen"))), _just(_FLAGS)),
    _command("removeflag", _just(_FLAGS)),
    _command(
        "set",
        _perhaps(
            _one_of("lower", "upper"),
            _one_of("lowerfirst", "upperfirst"),
            _tag("quotewildcard"),
            _tag("encodeurl"),
            _tag("length"),
        ),
        _just(_either("x", "y_1")),
        _SOME_TEXT,
    ),
    _command(
        "vacation",
        _perhaps(
            _tag("days", st.just(Number(7))) | _tag("seconds", st.just(Number(100000))),
            _tag("subject", _TEXT),
            _tag("from", _either("me@b.example", '"Dr. X, Y" <me@b.example>')),
            _tag("addresses", _list(_either("me@b.example", "us@b.example"))),
            _tag("handle", _TEXT),
        ),
        _SOME_TEXT,
    ),
    _command("vacation", _tag("mime"), _just(_either("Content-Type: text/html\n\n<b>${x}</b>\n"))),
    _command(
        "notify",
        _perhaps(
            _tag("from", _either("me@b.example")),
            _tag("importance", _either("1", "2", "3")),
            _tag("message", _TEXT),
        ),
        _just(_either("mailto:a@b.example", "mailto:a@b.example?subject=x")),
    ),
)


@st.composite
def _sound(draw: st.DrawFn, depth: int = 3) -> tuple[Command, ...]:
    """Commands, and of `if` the others that belong to it."""
    commands: list[Command] = []
    for _ in range(draw(st.integers(0, 3))):
        commands.append(draw(_SIMPLE))
        names = draw(st.sampled_from([["if"], ["if", "elsif"], ["if", "else"]]))
        for name in names if depth and draw(st.booleans()) else ():
            test = None if name == "else" else draw(_TEST)
            commands.append(Command(name, (), test, draw(_sound(depth - 1)), draw(_COMMENT)))
    return tuple(commands)


SOUND_SCRIPT = st.builds(Script, _sound(), _COMMENT)
"""What every server takes that has the extensions."""

EVERY_NAME = parse(
    b"""
if allof (header :contains "subject" "a", address :domain "from" "b", exists "list-id") {
    fileinto :copy :create :flags "x" "a";
} elsif anyof (not size :over 2K, envelope "to" "c", body :text :matches "d*") {
    setflag "a"; addflag "b"; removeflag "c"; keep :flags ["a", "b"];
} elsif allof (date :zone "+0100" "date" "hour" "1", currentdate "day" "1", hasflag "x", false) {
    redirect :copy "a@b.example"; reject "no";
} elsif environment :regex "name" "x" {
    set :lower "x" "y"; vacation :days 7 "gone"; notify :importance "1" "mailto:a@b.example";
} elsif true { discard; } else { stop; }

if string "a" "b" { stop; }
if address :user "to" "a" { stop; }
if address :detail "to" "a" { stop; }
if header :index 2 "to" "a" { stop; }
if header :value "gt" :comparator "i;ascii-numeric" "x" "1" { stop; }
if valid_notify_method "mailto:a@b.example" { stop; }
if notify_method_capability "mailto:a@b.example" "online" "yes" { stop; }
if mailboxexists "a" { stop; }
if duplicate { stop; }
"""
)
"""Each command and test that `SOUND_SCRIPT` draws, whatever is drawn."""
