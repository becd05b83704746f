"""The conditions of the language of rules: each key, what it may hold and which test it is."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from sieve.mailsort.kinds import (
    MOST_VALUES,
    Case,
    Faults,
    Field,
    Kind,
    Path,
    Schema,
    later,
    many,
    number,
    one_of,
    some,
    table,
    unfit,
)
from sieve.mailsort.rule import (
    AddressTest,
    BodyTest,
    Condition,
    DateTest,
    FindingTest,
    Group,
    HeaderTest,
    KnownTest,
    Operator,
    Party,
    Quantity,
    ScoreTest,
    SizeTest,
    TimeTest,
    VerdictTest,
    WeekdayTest,
)
from sieve.mailsort.values import (
    ANY_VALUE,
    BAND,
    BOOK,
    CHECK,
    DATE,
    DOMAIN,
    EXPRESSION,
    FIELD,
    PATTERN,
    SIZE,
    TIME,
    TRUE,
    VALUE,
    VERDICT,
    WEEKDAY,
    same,
)

T = TypeVar("T")

MOST_NESTED = 30
"""Conditions in each other; Pigeonhole nests at most 32 tests."""

VIRUS = "virus"

_Compared = tuple[Operator, tuple[str, ...]]

_OPERATORS: Mapping[Operator, tuple[Kind[str], str]] = {
    Operator.IS: (ANY_VALUE, "it is one of these, and nothing more"),
    Operator.CONTAINS: (VALUE, "one of these stands in it"),
    Operator.MATCHES: (PATTERN, "it is like one of these: * is anything, ? one character"),
    Operator.REGEX: (EXPRESSION, "one of these POSIX extended regular expressions is found in it"),
    Operator.IN_DOMAIN: (DOMAIN, "its domain is one of these, or below it"),
}


def _compared(operator: Operator) -> Case[_Compared]:
    def take(value: _Compared) -> object:
        return value[1] if value[0] is operator else None

    if operator is Operator.EXISTS:
        return Case(
            TRUE,
            "it is there",
            lambda _true: (operator, ()),
            lambda value: True if value[0] is operator else None,
        )
    kind, doc = _OPERATORS[operator]
    return Case(some(kind), doc, lambda values: (operator, values), take)


OF_ADDRESSES = tuple(Operator)
OF_FIELDS = tuple(one for one in Operator if one is not Operator.IN_DOMAIN)
OF_BODIES = tuple(one for one in OF_FIELDS if one is not Operator.EXISTS)


def _comparing(operators: tuple[Operator, ...]) -> dict[str, Case[_Compared]]:
    return {one.value: _compared(one) for one in operators}


_OF_ADDRESS = one_of("an operator", _comparing(OF_ADDRESSES))
_OF_FIELD = one_of("an operator", _comparing(OF_FIELDS))
_OF_BODY = one_of("an operator", _comparing(OF_BODIES))
SHARED: Mapping[str, Kind[_Compared]] = {"address": _OF_ADDRESS, "field": _OF_FIELD}
"""Kinds that many conditions have: the schema has each once, under this name."""


def _header() -> Kind[HeaderTest]:
    """A table with the name of the field beside the operator."""
    expected = "a table with name and an operator"

    def read(value: object, path: Path) -> HeaderTest:
        if not isinstance(value, dict):
            raise unfit(value, path, expected)
        if "name" not in value:
            raise Faults((path, f"has no name; expected {FIELD.expected}"))
        name = FIELD.read(value["name"], (*path, "name"))
        rest = {key: one for key, one in value.items() if key != "name"}
        return HeaderTest(name, *_OF_FIELD.read(rest, path))

    def write(value: HeaderTest) -> object:
        operator: Any = _OF_FIELD.write((value.operator, value.values))
        return {"name": value.name, **operator}

    operators: list[Schema] = [
        {
            **one,
            "properties": {"name": FIELD.schema, **one["properties"]},
            "required": ["name", *one["required"]],
        }
        for one in _OF_FIELD.schema["oneOf"]
    ]
    return Kind(expected, read, write, {"oneOf": operators})


def _party(party: Party, doc: str) -> Case[Condition]:
    return Case(
        later(_OF_ADDRESS.expected, "address", lambda: _OF_ADDRESS),
        doc,
        lambda compared: AddressTest(party, *compared),
        lambda one: (
            (one.operator, one.values)
            if isinstance(one, AddressTest) and one.party is party
            else None
        ),
    )


def _field(name: str, doc: str) -> Case[Condition]:
    return Case(
        later(_OF_FIELD.expected, "field", lambda: _OF_FIELD),
        doc,
        lambda compared: HeaderTest(name, *compared),
        lambda one: (
            (one.operator, one.values) if isinstance(one, HeaderTest) and one.name == name else None
        ),
    )


def _group(quantity: Quantity, doc: str) -> Case[Condition]:
    return Case(
        _INNER,
        doc,
        lambda of: Group(quantity, of),
        lambda one: one.of if isinstance(one, Group) and one.quantity is quantity else None,
    )


def _whole(kind: Kind[T], doc: str, of: type[T]) -> Case[Condition]:
    """A test whose table has several keys."""
    return Case(kind, doc, same, lambda one: one if isinstance(one, of) else None)


def _dates(since: datetime.date | None = None, until: datetime.date | None = None) -> DateTest:
    if since is None and until is None:
        raise ValueError("names no day; expected since, until or both")
    in_order(since, until)
    return DateTest(since, until)


def in_order(since: datetime.date | None, until: datetime.date | None) -> None:
    """ValueError if the last day is before the first."""
    if since and until and until < since:
        raise ValueError("ends before it begins; expected until to be no day before since")


def _times(since: datetime.time, until: datetime.time) -> TimeTest:
    if since == until:
        raise ValueError("ends when it begins; expected two different times")
    return TimeTest(since, until)


_BOUNDS: dict[str, Case[SizeTest]] = {
    "over": Case(
        SIZE,
        "it has more octets than that",
        lambda octets: SizeTest(True, octets),
        lambda one: one.octets if one.over else None,
    ),
    "under": Case(
        SIZE,
        "it has fewer octets than that",
        lambda octets: SizeTest(False, octets),
        lambda one: None if one.over else one.octets,
    ),
}
_SIZE_TEST = one_of("over or under", _BOUNDS)
_DATE_TEST = table(
    {
        "since": Field(DATE, "the first day", "since", None),
        "until": Field(DATE, "the last day", "until", None),
    },
    _dates,
)
_TIME_TEST = table(
    {
        "since": Field(TIME, "from this time on", "since"),
        "until": Field(TIME, "until before this time; on the next day, if it is earlier", "until"),
    },
    _times,
)
_SCORE_TEST = table({"over": Field(number(0, 99), "more than so many percent", "over")}, ScoreTest)
_FINDING_TEST = table(
    {
        "check": Field(CHECK, "which check", "check"),
        "band": Field(some(BAND), "what it found, or one of these", "bands"),
    },
    FindingTest,
)


def _nested(inner: Kind[tuple[Condition, ...]]) -> Kind[tuple[Condition, ...]]:
    """As many in each other as are bounded: each is an index of the path."""

    def read(value: object, path: Path) -> tuple[Condition, ...]:
        condition = path[path.index("if") :] if "if" in path else path
        if sum(isinstance(part, int) for part in condition) >= MOST_NESTED:
            raise Faults((path, f"is nested too deeply; expected at most {MOST_NESTED} levels"))
        return inner.read(value, path)

    return Kind(inner.expected, read, inner.write, inner.schema)


_INNER = _nested(many(later("a condition", "condition", lambda: CONDITION), MOST_VALUES))

CONDITIONS: Mapping[str, Case[Condition]] = {
    "all": _group(Quantity.ALL, "all of these hold"),
    "any": _group(Quantity.ANY, "one of these holds, or several"),
    "none": _group(Quantity.NONE, "none of these holds"),
    "from": _party(Party.FROM, "the author, in From"),
    "sender": _party(Party.SENDER, "who sent it for the author, in Sender"),
    "reply-to": _party(Party.REPLY_TO, "to whom answers go, in Reply-To"),
    "to": _party(Party.TO, "an address in To"),
    "cc": _party(Party.CC, "an address in Cc"),
    "recipient": _party(Party.RECIPIENT, "an address in To, Cc or Bcc"),
    "envelope-from": _party(Party.ENVELOPE_FROM, "the sender in the envelope; of a bounce empty"),
    "envelope-to": _party(Party.ENVELOPE_TO, "the mailbox it is delivered to"),
    "original-to": _party(Party.ORIGINAL_TO, "the address the sender wrote to, before aliases"),
    "subject": _field("Subject", "the subject"),
    "list-id": _field("List-Id", "the mailing list it came through, in List-Id"),
    "header": _whole(_header(), "any header field, by its name", HeaderTest),
    "body": Case(
        _OF_BODY,
        "the text of the message",
        lambda compared: BodyTest(*compared),
        lambda one: (one.operator, one.values) if isinstance(one, BodyTest) else None,
    ),
    "size": _whole(_SIZE_TEST, "how large the message is", SizeTest),
    "date": _whole(_DATE_TEST, "the day of delivery", DateTest),
    "time": _whole(_TIME_TEST, "the time of delivery", TimeTest),
    "weekday": Case(
        some(WEEKDAY),
        "the day of the week of delivery",
        WeekdayTest,
        lambda one: one.days if isinstance(one, WeekdayTest) else None,
    ),
    "verdict": Case(
        some(VERDICT),
        "what the server made of it",
        VerdictTest,
        lambda one: one.words if isinstance(one, VerdictTest) else None,
    ),
    "score": _whole(_SCORE_TEST, "how likely it is spam by your own filter", ScoreTest),
    "virus": Case(
        some(BAND),
        "what was found by the virus scanners",
        lambda bands: FindingTest(VIRUS, bands),
        lambda one: one.bands if isinstance(one, FindingTest) and one.check == VIRUS else None,
    ),
    "finding": _whole(_FINDING_TEST, "what a check found", FindingTest),
    "known": Case(
        some(BOOK),
        "where the author is known from",
        KnownTest,
        lambda one: one.books if isinstance(one, KnownTest) else None,
    ),
}
CONDITION: Kind[Condition] = one_of("a condition", CONDITIONS)
