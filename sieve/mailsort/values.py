"""The single values of the language of rules: texts, addresses, folders, sizes, dates, words."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import TypeVar

from iems.model.address import Address, AddressError, domain_name
from sieve.mailsort.expression import EXPECTED, expression
from sieve.mailsort.kinds import Kind, leaf, number, text, word
from sieve.mailsort.rule import Book, Weekday

T = TypeVar("T")

MOST_TEXT = 1 << 20
"""Characters of an answer or refusal; a script of Pigeonhole's has at most 1 MB by default."""
_MOST_VALUE = 1000
_MOST_LINE = 500
_MOST_OCTETS = (1 << 31) - 1
"""Sieve's largest number (RFC 5228 section 2.4.1)."""


def _checked(pattern: str, expected: str) -> Callable[[str], str]:
    """Texts that are all of this pattern."""
    whole = re.compile(pattern)

    def check(value: str) -> str:
        if not whole.fullmatch(value):
            raise ValueError(expected)
        return value

    return check


def _named(expected: str, pattern: str, most: int) -> Kind[str]:
    schema = {"pattern": f"^(?:{pattern})$"}
    return text(expected, most, check=_checked(pattern, expected), schema=schema)


def _wildcards(value: str) -> str:
    # Pigeonhole 0.5.19 dies of a pattern that ends in the middle of an escape.
    if (len(value) - len(value.rstrip("\\"))) % 2:
        raise ValueError("a pattern that does not end in a single backslash; write two of them")
    return value


def _domain(value: str) -> str:
    try:
        return domain_name(value)
    except AddressError:
        raise ValueError(_DOMAIN) from None


def _address(value: str) -> str:
    try:
        found = Address.parse(value)
    except AddressError:
        raise ValueError(_ADDRESS) from None
    if not found.local.isascii():
        raise ValueError(f"{_ADDRESS}, with letters of ASCII before the @")
    return str(found)


_DOMAIN = 'a domain, such as "shop.example"'
_ADDRESS = 'an address, such as "ann@shop.example"'
_SYSTEM = ("\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen")


def _flag(value: str) -> str:
    for one in _SYSTEM:
        if value.lower() == one.lower():
            return one
    return _KEYWORD(value)


_FLAG = f'one of {", ".join(_SYSTEM)}, or a keyword such as "$Label1" or "todo"'
_KEYWORD = _checked(r"[!#-$&-\'+-[^-z|}~]{1,100}", _FLAG)


def _folder(value: str) -> str:
    levels = value.split("/")
    if value.startswith("~") or any(one in {"", ".", ".."} for one in levels):
        raise ValueError(_FOLDER)
    return "INBOX" if value.upper() == "INBOX" else value


_FOLDER = 'a folder, such as "Bills" or "Work/Bills"'

VALUE = text("a text", _MOST_VALUE)
ANY_VALUE = text("a text, which may be empty", _MOST_VALUE, empty=True)
PATTERN = text("a pattern with * and ?", _MOST_VALUE, check=_wildcards)
EXPRESSION = text(EXPECTED, _MOST_VALUE, check=expression)
DOMAIN = text(_DOMAIN, _MOST_VALUE, check=_domain)
ADDRESS = text(_ADDRESS, _MOST_VALUE, check=_address)
FOLDER = text(_FOLDER, 200, check=_folder)
FLAG = text(_FLAG, 100, check=_flag)
LINE = text("a text of one line", _MOST_LINE, empty=True)
NAME = text("a name, of one line", 200)
TEXT = text("a text", MOST_TEXT, lines=True)
HTML = text("a text of HTML", MOST_TEXT, lines=True, empty=True)
NOTICE = text("a text", 10_000, lines=True, empty=True)
FIELD = _named('the name of a header field, such as "X-Kind"', r"[!-9;-~]+", 100)
CHECK = _named(
    'the name of a check, such as "spf" or "dnsbl/zen"', r"[\w.@+-]+(?:/[\w.@+-]+){0,2}", 200
)
BAND = _named('what the check may find, such as "listed"', r"[a-z][a-z0-9-]*", 50)
DAYS = number(1, 30)

_UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_SIZE = 'a number of octets, or a text such as "20 KB" or "1 MB"'
_WRITTEN_SIZE = re.compile(r"([0-9]{1,10}) ?(KB|MB|GB)", re.IGNORECASE)


def _octets(value: object) -> int:
    if isinstance(value, str) and (found := _WRITTEN_SIZE.fullmatch(value)):
        value = int(found[1]) * _UNITS[found[2].upper()]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_OCTETS:
        raise ValueError(f"{_SIZE}, at most {_MOST_OCTETS}" if isinstance(value, int) else "")
    return value


def _written_octets(octets: int) -> object:
    for unit, size in reversed(_UNITS.items()):
        if octets and octets % size == 0:
            return f"{octets // size} {unit}"
    return octets


SIZE = leaf(
    _SIZE,
    _octets,
    _written_octets,
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": _MOST_OCTETS},
            {"type": "string", "pattern": "^[0-9]{1,10} ?([Kk]|[Mm]|[Gg])[Bb]$"},
        ]
    },
)

_DATE_FORM = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME_FORM = r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?"


def _date(value: object) -> datetime.date:
    if isinstance(value, str) and re.fullmatch(_DATE_FORM, value):
        value = datetime.date.fromisoformat(value)
    if isinstance(value, datetime.datetime) or not isinstance(value, datetime.date):
        raise ValueError
    return value


def _time(value: object) -> datetime.time:
    if isinstance(value, str) and re.fullmatch(_TIME_FORM, value):
        value = datetime.time.fromisoformat(value)
    if not isinstance(value, datetime.time) or value.microsecond:
        raise ValueError
    return value


def same(value: T) -> T:
    """The value as it is, where a kind reads and writes what is kept."""
    return value


DATE = leaf(
    "a date, such as 2026-12-01", _date, same, {"type": "string", "pattern": f"^{_DATE_FORM}$"}
)
TIME = leaf(
    "a time, such as 08:30:00", _time, same, {"type": "string", "pattern": f"^{_TIME_FORM}$"}
)
WEEKDAY = word({one.name.lower(): one for one in Weekday})
BOOK = word({one.value: one for one in Book})
VERDICT = word({one: one for one in ("tag", "junk")})


def _always(value: object) -> bool:
    if value is not True:
        raise ValueError
    return True


TRUE = leaf("true (for the contrary put it into none = [...])", _always, bool, {"const": True})
