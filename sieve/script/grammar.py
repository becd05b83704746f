"""The commands and tests of Sieve that we know: what follows each, and of which extension it is.

Each row is of the RFC that its group names. What the table does not know is neither printed nor
found right.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sieve.script.tree import Argument, Command, Number, Tag, Test, Text, Texts, texts


class Kind(enum.Enum):
    """What stands at a place: one string, one or a list of them, a number."""

    TEXT = "a string"
    TEXTS = "strings"
    NUMBER = "a number"


class Inner(enum.Enum):
    """How many tests belong to a command or test."""

    NONE = "no test"
    ONE = "one test"
    SOME = "a list of tests"


@dataclass(frozen=True, slots=True)
class Option:
    """A tag: of which extension, and what stands behind it."""

    extension: str = ""
    takes: Kind | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """What follows a name.

    With `first` its first place may be left out; where it is not, it is of that extension.
    """

    places: tuple[Kind, ...] = ()
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    extension: str = ""
    inner: Inner = Inner.NONE
    block: bool = False
    first: str | None = None


_TEXT, _TEXTS, _NUMBER = Kind.TEXT, Kind.TEXTS, Kind.NUMBER

_MATCH = {
    "is": Option(),
    "contains": Option(),
    "matches": Option(),
    "comparator": Option("", _TEXT),
    "regex": Option("regex"),  # draft-ietf-sieve-regex
    "count": Option("relational", _TEXT),  # RFC 5231
    "value": Option("relational", _TEXT),
}
_PARTS = {
    "all": Option(),
    "localpart": Option(),
    "domain": Option(),
    "user": Option("subaddress"),  # RFC 5233
    "detail": Option("subaddress"),
}
_INDEX = {"index": Option("index", _NUMBER), "last": Option("index")}  # RFC 5260
_COPY = {"copy": Option("copy")}  # RFC 3894
_FLAGS = {"flags": Option("imap4flags", _TEXTS)}  # RFC 5232
_ZONE = {"zone": Option("", _TEXT)}

COMMANDS: Mapping[str, Form] = MappingProxyType(
    {
        # RFC 5228
        "if": Form(inner=Inner.ONE, block=True),
        "elsif": Form(inner=Inner.ONE, block=True),
        "else": Form(block=True),
        "stop": Form(),
        "keep": Form(options=_FLAGS),
        "discard": Form(),
        "redirect": Form((_TEXT,), _COPY),
        "fileinto": Form(
            (_TEXT,),
            _COPY
            | _FLAGS
            | {
                "create": Option("mailbox"),  # RFC 5490
                "specialuse": Option("special-use", _TEXT),  # RFC 8579
            },
            "fileinto",
        ),
        # RFC 5429
        "reject": Form((_TEXT,), extension="reject"),
        "ereject": Form((_TEXT,), extension="ereject"),
        # RFC 5232; the first place is the name of a variable
        "setflag": Form((_TEXT, _TEXTS), extension="imap4flags", first="variables"),
        "addflag": Form((_TEXT, _TEXTS), extension="imap4flags", first="variables"),
        "removeflag": Form((_TEXT, _TEXTS), extension="imap4flags", first="variables"),
        # RFC 5229
        "set": Form(
            (_TEXT, _TEXT),
            {
                "lower": Option(),
                "upper": Option(),
                "lowerfirst": Option(),
                "upperfirst": Option(),
                "quotewildcard": Option(),
                "quoteregex": Option("regex"),
                "length": Option(),
                "encodeurl": Option("enotify"),  # RFC 5435
            },
            "variables",
        ),
        # RFC 5230 and RFC 6131
        "vacation": Form(
            (_TEXT,),
            {
                "days": Option("", _NUMBER),
                "seconds": Option("vacation-seconds", _NUMBER),
                "subject": Option("", _TEXT),
                "from": Option("", _TEXT),
                "addresses": Option("", _TEXTS),
                "mime": Option(),
                "handle": Option("", _TEXT),
            },
            "vacation",
        ),
        # RFC 5435
        "notify": Form(
            (_TEXT,),
            {
                "from": Option("", _TEXT),
                "importance": Option("", _TEXT),
                "options": Option("", _TEXTS),
                "message": Option("", _TEXT),
            },
            "enotify",
        ),
        # RFC 6609
        "include": Form(
            (_TEXT,),
            {"personal": Option(), "global": Option(), "once": Option(), "optional": Option()},
            "include",
        ),
        "return": Form(extension="include"),
        "global": Form((_TEXTS,), extension="include"),
    }
)

TESTS: Mapping[str, Form] = MappingProxyType(
    {
        # RFC 5228
        "true": Form(),
        "false": Form(),
        "not": Form(inner=Inner.ONE),
        "allof": Form(inner=Inner.SOME),
        "anyof": Form(inner=Inner.SOME),
        "address": Form((_TEXTS, _TEXTS), _MATCH | _PARTS | _INDEX),
        "envelope": Form((_TEXTS, _TEXTS), _MATCH | _PARTS, "envelope"),
        "header": Form((_TEXTS, _TEXTS), _MATCH | _INDEX),
        "exists": Form((_TEXTS,)),
        "size": Form((_NUMBER,), {"over": Option(), "under": Option()}),
        # RFC 5173
        "body": Form(
            (_TEXTS,),
            _MATCH | {"raw": Option(), "text": Option(), "content": Option("", _TEXTS)},
            "body",
        ),
        # RFC 5260
        "date": Form(
            (_TEXT, _TEXT, _TEXTS), _MATCH | _ZONE | _INDEX | {"originalzone": Option()}, "date"
        ),
        "currentdate": Form((_TEXT, _TEXTS), _MATCH | _ZONE, "date"),
        # RFC 5229
        "string": Form((_TEXTS, _TEXTS), _MATCH, "variables"),
        # RFC 5232
        "hasflag": Form((_TEXTS, _TEXTS), _MATCH, "imap4flags", first="variables"),
        # RFC 5183
        "environment": Form((_TEXT, _TEXTS), _MATCH, "environment"),
        # RFC 5235
        "spamtest": Form((_TEXT,), _MATCH | {"percent": Option("spamtestplus")}, "spamtest"),
        "virustest": Form((_TEXT,), _MATCH, "virustest"),
        # RFC 5435
        "valid_notify_method": Form((_TEXTS,), extension="enotify"),
        "notify_method_capability": Form((_TEXT, _TEXT, _TEXTS), _MATCH, "enotify"),
        # RFC 5490
        "mailboxexists": Form((_TEXTS,), extension="mailbox"),
        "metadata": Form((_TEXT, _TEXT, _TEXTS), _MATCH, "mboxmetadata"),
        "metadataexists": Form((_TEXT, _TEXTS), extension="mboxmetadata"),
        "servermetadata": Form((_TEXT, _TEXTS), _MATCH, "servermetadata"),
        "servermetadataexists": Form((_TEXTS,), extension="servermetadata"),
        # RFC 8579
        "specialuse_exists": Form((_TEXT, _TEXTS), extension="special-use", first=""),
        # RFC 7352
        "duplicate": Form(
            (),
            {
                "handle": Option("", _TEXT),
                "header": Option("", _TEXT),
                "uniqueid": Option("", _TEXT),
                "seconds": Option("", _NUMBER),
                "last": Option(),
            },
            "duplicate",
        ),
    }
)

REFERENCE = re.compile(r"\$\{([A-Za-z0-9_.]+)\}")
"""What may be a variable in a string (RFC 5229 section 3), and what looks like one."""

_BUILT_IN = frozenset({"i;octet", "i;ascii-casemap"})
"""What needs no `require` (RFC 5228 section 2.7.3); of each other the extension has its name."""


def form(node: Command | Test) -> Form:
    """What follows a command or test; ValueError if it is none that we know."""
    names, what = (TESTS, "test") if isinstance(node, Test) else (COMMANDS, "command")
    try:
        return names[node.name]
    except KeyError:
        raise ValueError(f"{node.name!r} is no {what} that is known") from None


def extensions(node: Command | Test) -> Iterator[str]:
    """Those that it needs for itself, where it needs one; ValueError for what we don't know."""
    known = form(node)
    yield known.extension
    places, tags = _parted(node, known)
    for name, value in tags:
        if name not in known.options:
            raise ValueError(f"{node.name!r} has no tag {name!r}")
        yield known.options[name].extension
        if name == "comparator" and isinstance(value, Text):
            yield "" if value.value in _BUILT_IN else f"comparator-{value.value}"
    if known.first is not None and len(places) == len(known.places):
        yield known.first
    if any(one.expand and REFERENCE.search(one.value) for one in texts(node)):
        yield "variables"


def faults(node: Command | Test) -> Iterator[str]:
    """What does not fit its form; what the strings in it say is not looked at."""
    try:
        known = form(node)
    except ValueError as error:
        yield str(error)
        return
    places, tags = _parted(node, known)
    for name, value in tags:
        if name not in known.options:
            yield f"{node.name!r} has no tag {name!r}"
        elif (kind := known.options[name].takes) and not _fits(value, kind):
            yield f"{name!r} of {node.name!r} is followed by {kind.value}"
    left_out = known.first is not None and len(places) < len(known.places)
    wanted = known.places[left_out:]
    if len(places) != len(wanted) or not all(map(_fits, places, wanted)):
        words = ", ".join(kind.value for kind in wanted) or "nothing"
        yield f"{node.name!r} is followed by {words}, its tags apart"
    if isinstance(node, Test):
        tests, block = len(node.tests), False
    else:
        tests, block = int(node.test is not None), node.block is not None
    if tests > _MOST[known.inner] or (tests == 0 and known.inner is not Inner.NONE):
        yield f"{node.name!r} has {known.inner.value}"
    if block != known.block:
        yield f"{node.name!r} has {'a' if known.block else 'no'} block"


_MOST = {Inner.NONE: 0, Inner.ONE: 1, Inner.SOME: float("inf")}


def _parted(
    node: Command | Test, known: Form
) -> tuple[list[Argument], list[tuple[str, Argument | None]]]:
    """Arguments at their places, and the tags, each with what belongs to it."""
    places: list[Argument] = []
    tags: list[tuple[str, Argument | None]] = []
    rest = iter(node.arguments)
    for argument in rest:
        if isinstance(argument, Tag):
            takes = argument.name in known.options and known.options[argument.name].takes
            tags.append((argument.name, next(rest, None) if takes else None))
        else:
            places.append(argument)
    return places, tags


def _fits(argument: Argument | None, kind: Kind) -> bool:
    match kind:
        case Kind.TEXT:
            return isinstance(argument, Text)
        case Kind.TEXTS:
            return isinstance(argument, Text | Texts)
        case Kind.NUMBER:
            return isinstance(argument, Number)
