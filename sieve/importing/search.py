"""Gmail's searches as conditions: words, "phrases", `-not`, `OR`, `{either or}`, `from:x`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from iems.model.address import Address, AddressError
from sieve.importing.imported import UntranslatedError, any_of, every, none_of, plain
from sieve.mailsort.rule import (
    AddressTest,
    BodyTest,
    Condition,
    HeaderTest,
    Operator,
    Party,
    SizeTest,
)

_TERMS = 500
_DEPTH = 10
_TOKEN = re.compile(r'\s*(-?(?:[a-z]+:)?"[^"]*"|[(){}|]|[^\s(){}|"]+)', re.I)
"""A phrase, a bracket, or a word: one that ends in a colon or a minus belongs to what follows."""

_SIZE = re.compile(r"([0-9]{1,9})([km]?)b?", re.I)

Place: TypeAlias = Callable[[str], Condition]
"""A text looked for somewhere."""


def where(criterion: str) -> Place:
    """Where one of the five criteria looks."""
    return _PLACES[criterion]


def conditions(query: str, place: Place) -> tuple[Condition, ...]:
    """What has to hold for a query, whose bare words are looked for in this place."""
    if place is _not_anywhere:
        inner = conditions(query, _anywhere)
        return (none_of(*inner),) if inner else ()
    tokens = list(_tokens(plain(query, "it")))
    if len(tokens) > _TERMS:
        raise UntranslatedError(f"it has more than {_TERMS} words")
    reader = _Reader(tokens[::-1])
    found = reader.together(place, "", 0)
    if reader.left:
        raise UntranslatedError(f"a {reader.left[-1]} is closed that was not opened")
    return found


def _tokens(query: str) -> Iterator[str]:
    query, at = query.strip(), 0
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            raise UntranslatedError("a quotation mark is not closed")
        yield found[1]
        at = found.end()


@dataclass(slots=True)
class _Reader:
    """What is left of a query, its next word last."""

    left: list[str]

    def together(self, place: Place, close: str, depth: int) -> tuple[Condition, ...]:
        """Everything up to the bracket that closes it: of `{}` one has to hold, else all."""
        found: list[Condition] = []
        either = False
        while self.left and self.left[-1] not in {")", "}"}:
            token = self.left.pop()
            if token in {"OR", "|"}:
                either = True
                continue
            if token in {"AND", "AROUND", "NOT"}:
                raise UntranslatedError(f"it says {token}")
            one = self._term(token, place, depth)
            if either and found:
                found.append(any_of((found.pop(), one)))
            else:
                found.append(one)
            either = False
        if close:
            if not self.left or self.left.pop() != close:
                raise UntranslatedError(f"expected {close}")
            if not found:
                raise UntranslatedError("its brackets are empty")
            if close == "}":
                return (any_of(tuple(found)),)
        return tuple(found)

    def _term(self, word: str, place: Place, depth: int) -> Condition:
        if depth > _DEPTH:
            raise UntranslatedError(f"it is nested more than {_DEPTH} deep")
        if word.startswith("-"):
            inner = self._term(word[1:], place, depth + 1) if word[1:] else self._rest(place, depth)
            return none_of(inner)
        if word in {"(", "{"}:
            return every(self.together(place, ")" if word == "(" else "}", depth + 1))
        name, colon, value = word.partition(":")
        if colon and name.isalpha():
            named = _OPERATORS.get(name.lower())
            if named is None:
                raise UntranslatedError(f"{name[:20]}: has no counterpart")
            return self._term(value, named, depth + 1) if value else self._rest(named, depth)
        text = word.strip('"').strip().removeprefix("+")
        if not text or text == "*":
            raise UntranslatedError("it looks for nothing")
        return place(text)

    def _rest(self, place: Place, depth: int) -> Condition:
        """What a bracket behind an operator or a minus holds."""
        if not self.left or self.left[-1] not in {"(", "{"}:
            raise UntranslatedError("nothing stands behind an operator")
        return self._term(self.left.pop(), place, depth + 1)


def _address(party: Party, names: tuple[str, ...]) -> Place:
    """An address, a domain, or a text in fields of addresses."""

    def place(text: str) -> Condition:
        if text.lower() == "me":
            raise UntranslatedError("me is the user himself, of whom the export does not tell")
        text = text.lstrip("*")
        if "@" in text and not text.startswith("@"):
            try:
                return AddressTest(party, Operator.IS, (str(Address.parse(text)),))
            except AddressError:
                pass
        if re.fullmatch(r"@[\w-]+(\.[\w-]+)+", text):
            return AddressTest(party, Operator.IN_DOMAIN, (text[1:],))
        return any_of(tuple(_header(one)(text) for one in names))

    return place


def _header(name: str) -> Place:
    def place(text: str) -> Condition:
        if not text:
            raise UntranslatedError("it looks for nothing")
        return HeaderTest(name, Operator.CONTAINS, (text,))

    return place


def _anywhere(text: str) -> Condition:
    fields = ("Subject", "From", "To", "Cc")
    body = BodyTest(Operator.CONTAINS, (text,))
    return any_of((*(HeaderTest(one, Operator.CONTAINS, (text,)) for one in fields), body))


def _not_anywhere(text: str) -> Condition:
    return none_of(_anywhere(text))


def _size(*, over: bool) -> Place:
    def place(text: str) -> Condition:
        found = _SIZE.fullmatch(text)
        if found is None:
            raise UntranslatedError(f"{text[:20]!r} is no size")
        unit = {"": 1, "k": 1024, "m": 1024 * 1024}[found[2].lower()]
        return SizeTest(over, min(int(found[1]) * unit, (1 << 31) - 1))

    return place


_FROM = _address(Party.FROM, ("From",))
_TO = _address(Party.RECIPIENT, ("To", "Cc", "Bcc"))
_SUBJECT = _header("Subject")
_PLACES: dict[str, Place] = {
    "from": _FROM,
    "to": _TO,
    "subject": _SUBJECT,
    "hasTheWord": _anywhere,
    "doesNotHaveTheWord": _not_anywhere,
}
_OPERATORS: dict[str, Place] = {
    "from": _FROM,
    "to": _TO,
    "cc": _address(Party.CC, ("Cc",)),
    "subject": _SUBJECT,
    "list": _header("List-Id"),
    "deliveredto": _header("Delivered-To"),
    "larger": _size(over=True),
    "size": _size(over=True),
    "smaller": _size(over=False),
}
"""Operators that Mailsort has the like of."""
