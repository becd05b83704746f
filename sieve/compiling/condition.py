"""A condition of Mailsort as a test of Sieve that holds for the same messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from sieve.compiling.site import Site
from sieve.mailsort.expression import expression
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
from sieve.script.tree import Number, Tag, Test, Text, Texts, negated, test

FIELDS = {
    Party.FROM: ("From",),
    Party.SENDER: ("Sender",),
    Party.REPLY_TO: ("Reply-To",),
    Party.TO: ("To",),
    Party.CC: ("Cc",),
    Party.RECIPIENT: ("To", "Cc", "Bcc"),
    Party.ORIGINAL_TO: ("X-Original-To",),
}
ENVELOPE = {Party.ENVELOPE_FROM: "from", Party.ENVELOPE_TO: "to"}
LARGEST = 2**31 - 1
"""Octets; the largest number of Sieve (RFC 5228 section 2.4.1)."""

_Build: TypeAlias = Callable[[str, tuple[str, ...]], Test]

_SPECIAL = re.compile(r"([][\\^$.|?*+(){}])")
_ESCAPED = r"\\\1"
_FIELD_NAME = re.compile(r"[!-9;-~]+", re.ASCII)


class CannotBeCompiledError(Exception):
    """There is no such Sieve: what it is about, and why."""


def compiled(condition: Condition, site: Site) -> Test:
    """The test; CannotBeCompiledError where Sieve has none that means the same."""
    match condition:
        case Group(quantity, of):
            inner = tuple(compiled(one, site) for one in of)
            if quantity is Quantity.ALL:
                return allof(inner)
            return anyof(inner) if quantity is Quantity.ANY else negated(anyof(inner))
        case AddressTest():
            return _address(condition)
        case HeaderTest(name, operator, values):
            return _header(name, operator, values)
        case BodyTest(operator, values):
            return _compared(
                operator,
                values,
                lambda match, keys: test("body", Tag("text"), Tag(match), Texts.of(*keys)),
            )
        case SizeTest(over, octets):
            return test("size", Tag("over" if over else "under"), Number(min(octets, LARGEST)))
        case DateTest():
            return date(condition)
        case TimeTest(since, until):
            ends = (
                _now("ge", "time", f"{since:%H:%M:%S}"),
                _now("lt", "time", f"{until:%H:%M:%S}"),
            )
            return anyof(ends) if since > until else allof(ends)
        case WeekdayTest(days):
            return test(
                "currentdate",
                Tag("is"),
                Text("weekday"),
                Texts.of(*(str(int(day)) for day in days)),
            )
        case VerdictTest(words):
            return verdict(site, *words)
        case ScoreTest(over):
            return test(
                "header",
                Tag("value"),
                Text("gt"),
                Tag("comparator"),
                Text("i;ascii-numeric"),
                Texts.of(site.score),
                Texts.of(str(over)),
            )
        case FindingTest(check, bands):
            return _fact(site, *(f"{check}={band}" for band in bands))
        case KnownTest(books):
            return _fact(site, *(f"known={book.value}" for book in books))


def allof(tests: tuple[Test, ...]) -> Test:
    """All of them, without another one in it; of one, that."""
    return _together("allof", tests)


def anyof(tests: tuple[Test, ...]) -> Test:
    """One of them, without another one in it; of one, that."""
    return _together("anyof", tests)


def _together(name: str, tests: tuple[Test, ...]) -> Test:
    flat = tuple(one for each in tests for one in (each.tests if each.name == name else (each,)))
    return flat[0] if len(flat) == 1 else Test(name, (), flat)


def verdict(site: Site, *words: str) -> Test:
    """Whether the agent's verdict is one of these."""
    return test(
        "header", Tag("matches"), Texts.of(site.verdict), Texts.of(*(f"{one};*" for one in words))
    )


def date(period: DateTest) -> Test:
    """Whether the day is one of these; with both ends open, each is."""
    ends = [
        _now(relation, "date", day.isoformat())
        for relation, day in (("ge", period.since), ("le", period.until))
        if day is not None
    ]
    return allof(tuple(ends)) if ends else test("true")


def _now(relation: str, part: str, value: str) -> Test:
    return test("currentdate", Tag("value"), Text(relation), Text(part), Texts.of(value))


def _fact(site: Site, *facts: str) -> Test:
    return test("header", Tag("is"), Texts.of(site.fact), Texts.of(*facts))


def _compared(operator: Operator, values: tuple[str, ...], build: _Build) -> Test:
    """The test that `build` makes of a match type and values.

    `:matches` of Pigeonhole goes wrong where `?` and `*` meet in a pattern (0.5.19, seen: `?b*`
    fits `ac`), so such a one is a regular expression.
    """
    if operator in {Operator.EXISTS, Operator.IN_DOMAIN}:
        raise CannotBeCompiledError(f"{operator.value!r} is no test of this")
    if not values:
        raise CannotBeCompiledError(f"{operator.value!r} has no value to compare with")
    try:
        for value in values if operator is Operator.REGEX else ():
            expression(value)
    except ValueError as error:
        raise CannotBeCompiledError(str(error)) from None
    if operator is not Operator.MATCHES:
        return build(operator.value, values)
    mixed = tuple(value for value in values if set("?*") <= set(_literals_out(value)))
    plain = tuple(value for value in values if value not in mixed)
    return anyof(
        (
            *((build("matches", plain),) if plain else ()),
            *((build("regex", tuple(map(_expression, mixed))),) if mixed else ()),
        )
    )


def _literals_out(pattern: str) -> str:
    return re.sub(r"\\.", "", pattern, flags=re.DOTALL)


def _expression(pattern: str) -> str:
    """The POSIX extended regular expression for a pattern with wildcards."""
    wildcards = {"*": ".*", "?": "."}
    parts = re.findall(r"\\?.|\\", pattern, re.DOTALL)
    return f"^{''.join(wildcards.get(part) or _SPECIAL.sub(_ESCAPED, part[-1]) for part in parts)}$"


def _header(name: str, operator: Operator, values: tuple[str, ...]) -> Test:
    if not _FIELD_NAME.fullmatch(name):
        raise CannotBeCompiledError(f"{name!r} is no name of a header field")
    if operator is Operator.EXISTS:
        return test("exists", Texts.of(name))
    return _compared(
        operator,
        values,
        lambda match, keys: test("header", Tag(match), Texts.of(name), Texts.of(*keys)),
    )


def _address(one: AddressTest) -> Test:
    party, operator, values = one.party, one.operator, one.values
    if operator is Operator.EXISTS:
        return _exists(party)
    if party in ENVELOPE:
        return _of("envelope", (ENVELOPE[party],), operator, values)
    tested = _of("address", FIELDS[party], operator, values)
    if party is not Party.ORIGINAL_TO:
        return tested
    # The agent writes the field where the sender wrote to another address than the final one.
    final = _of("envelope", ("to",), operator, values)
    there = test("exists", Texts.of(*FIELDS[party]))
    return anyof((tested, allof((negated(there), final))))


def _exists(party: Party) -> Test:
    if party is Party.ENVELOPE_FROM:
        return negated(test("envelope", Tag("is"), Texts.of("from"), Texts.of("")))
    if party in {Party.ENVELOPE_TO, Party.ORIGINAL_TO}:
        return test("true")
    return anyof(tuple(test("exists", Texts.of(name)) for name in FIELDS[party]))


def _of(name: str, parts: tuple[str, ...], operator: Operator, values: tuple[str, ...]) -> Test:
    if operator is not Operator.IN_DOMAIN:
        return _compared(
            operator,
            values,
            lambda match, keys: test(name, Tag(match), Texts.of(*parts), Texts.of(*keys)),
        )

    def domain(match: str, keys: tuple[str, ...]) -> Test:
        return test(name, Tag("domain"), Tag(match), Texts.of(*parts), Texts.of(*keys))

    below = tuple("*." + re.sub(r"([*?\\])", r"\\\1", value) for value in values)
    return anyof((_compared(Operator.IS, values, domain), domain("matches", below)))
