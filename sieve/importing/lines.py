"""A pattern over header lines as tests of fields: which are meant, and what is told of them."""

from __future__ import annotations

from iems.codec.pattern import Pattern
from sieve.importing.fields import FieldPart, fields, values
from sieve.importing.imported import Collector, UntranslatedError, any_of
from sieve.importing.regex import (
    ANY,
    Char,
    Choice,
    Edge,
    Piece,
    Sequence,
    Set,
)
from sieve.mailsort.rule import (
    AddressTest,
    Condition,
    Group,
    HeaderTest,
    Operator,
    Party,
    Quantity,
)

_KNOWN = frozenset(
    {
        *("from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id"),
        *("in-reply-to", "references", "received", "return-path", "errors-to", "apparently-to"),
        *("resent-from", "resent-sender", "resent-to", "resent-cc", "delivered-to"),
        *("x-original-to", "x-envelope-to", "x-envelope-from", "list-id", "list-post"),
        *("list-unsubscribe", "mailing-list", "x-mailing-list", "x-list", "x-loop"),
        *("x-been-there", "x-beenthere", "precedence", "organization", "content-type"),
        *("x-mailer", "user-agent", "x-spam-flag", "x-spam-status", "x-spam-level"),
    }
)
"""Names that are whole where a pattern has no colon behind them."""

_NULL = "mailer-daemon"
"""The null sender in the line before a header."""


def tested(
    pattern: Choice, found: Collector, line: int, *, envelope: bool
) -> tuple[Condition, ...]:
    """Tests of which one has to hold; a difference is told at this line.

    With `envelope` the line From_ stands before the header, and the sender in it.
    """
    by: dict[tuple[str, Operator], list[str]] = {}
    for part in fields(pattern):
        if part.name == ">from " or (part.name == "from " and not envelope):
            continue
        _usual(part, found, line)
        name = part.name.lower()
        if name != "from ":
            _valued(by, part.name, part.rest)
        if name == "from " or (name == "from" and not part.exact and envelope):
            _valued(by, "from ", _sender(part.rest))
    if not by:
        raise UntranslatedError("it asks for no field of the header")
    return tuple(
        _test(name, operator, tuple(dict.fromkeys(all_values)))
        for (name, operator), all_values in by.items()
    )


def sender(pattern: Choice) -> Condition:
    """A test of the envelope's sender, whom the pattern is held against."""
    by: dict[tuple[str, Operator], list[str]] = {}
    for sequence in pattern.of:
        begins = bool(sequence) and sequence[0].atom is Edge.BEGIN
        rest = sequence[1:] if begins else (Piece(ANY, "*"), *sequence)
        _valued(by, "from ", rest)
    party = Party.ENVELOPE_FROM
    return any_of(
        tuple(
            AddressTest(party, operator, tuple(given) if operator.of_values else ())
            for (_name, operator), given in by.items()
        )
    )


def _usual(part: FieldPart, found: Collector, line: int) -> None:
    """Whether the field is clear; what is a little else is told."""
    name = part.name
    if not name or ((not part.exact or not part.anchored) and name.lower() not in _KNOWN):
        raise UntranslatedError("it does not say in which field it looks (^Name: ...)")
    if not all("!" <= one <= "~" for one in name.removesuffix(" ")) or len(name) > 80:
        raise UntranslatedError("it looks for a field whose name cannot be one")
    if not part.exact:
        found.warning(line, f"no colon stands behind {name}: only the field of this name is meant")
    elif not part.anchored:
        found.warning(line, f"no ^ stands before {name}: only the field of this name is meant")
    if any(isinstance(one.atom, Set) and one.atom.edges for one in part.rest[2:-1]):
        found.warning(line, "\\< or \\> may be the end of the line: only this field is meant")
    if name == "from ":
        found.note(line, "the line From_ is the envelope's sender here")


def _valued(by: dict[tuple[str, Operator], list[str]], name: str, rest: Sequence) -> None:
    known = next((one for one, _operator in by if one.lower() == name.lower()), name)
    for operator, value in values(rest, blank=name == "from "):
        by.setdefault((known, operator), []).append(value)


def _sender(rest: Sequence) -> Sequence:
    """A pattern for the sender alone: behind him stand blanks and a date."""
    while rest and rest[-1].atom == ANY and rest[-1].times == "*":
        rest = rest[:-1]
    blank = bool(rest) and rest[-1].atom == Char(" ") and not rest[-1].optional
    return (*rest[:-1], Piece(Edge.END)) if blank else rest


def _test(name: str, operator: Operator, found: tuple[str, ...]) -> Condition:
    given = found if operator.of_values else ()
    if name != "from ":
        return HeaderTest(name, operator, given)
    sender = AddressTest(Party.ENVELOPE_FROM, operator, given)
    null = AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("",))
    if any(_fits(operator, one) for one in given):
        return Group(Quantity.ANY, (sender, null))
    return sender


def _fits(operator: Operator, value: str) -> bool:
    """Whether it is what stands there for the null sender."""
    if operator is Operator.REGEX:
        return Pattern.compile(value, case=False).found(_NULL)
    parts = [one.lower() for one in value.replace("\\", "").split("*")]
    if operator is Operator.MATCHES:
        return (
            _NULL.startswith(parts[0])
            and _NULL.endswith(parts[-1])
            and all(one in _NULL for one in parts)
        )
    return value.lower() in _NULL
