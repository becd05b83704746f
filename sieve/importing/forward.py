"""`.forward` files as Postfix reads them (local(8), aliases(5)).

Destinations stand in lines or behind commas: addresses, the user himself (`\\user`: a copy stays),
programs, files and lists of addresses in files. What is left out may have been what kept a copy, so
then one stays.
"""

from __future__ import annotations

import re

from sieve.importing.imported import (
    Collector,
    Imported,
    UntranslatedError,
    addresses,
    lines,
)
from sieve.mailsort.rule import Discard, Forward, Rule

_NAME = "Forward"
_MOST = 100
"""Destinations."""

_ONE = re.compile(r'\s*((?:"(?:[^"\\]|\\.)*"|[^",\s]|(?<![,\s])[ \t]+(?![,\s#]))+)[\s,]*')
"""One destination, with what parts it from the next; quotes keep commas and blanks together."""

_ANGLE = re.compile(r"[^<>]*<([^<>]*)>")


def read(data: bytes) -> Imported:
    """The one rule that such a file is."""
    found = Collector()
    to: list[str] = []
    first, kept, nowhere = 0, False, False
    for line, one in _destinations(lines(data, found)):
        first = first or line
        bare = _unquoted(one)
        if bare.startswith("\\"):
            kept = True
        elif bare == "/dev/null":
            nowhere = True
        elif why := _reason(bare):
            kept = True
            found.error(line, f"{why}; a copy stays in INBOX instead", _NAME)
        else:
            try:
                named = _ANGLE.fullmatch(bare)
                to += addresses([named[1] if named else bare])
            except UntranslatedError as error:
                kept = True
                found.error(line, f"{error}; a copy stays in INBOX instead", _NAME)
    if len(to) > _MOST:
        found.error(first, f"more than {_MOST} addresses", _NAME)
    elif to:
        found.add(first, Rule(_NAME, None, (Forward(tuple(dict.fromkeys(to)), keep=kept),)))
    elif nowhere and not kept:
        found.add(first, Rule(_NAME, None, (Discard(),)))
    return found.imported()


def _destinations(physical: list[str]) -> list[tuple[int, str]]:
    found = []
    for line, words in enumerate(physical, 1):
        rest = words.strip()
        if rest.startswith("|"):
            found.append((line, rest))
            continue
        at = 0
        while at < len(rest) and rest[at] != "#":
            one = _ONE.match(rest, at)
            found.append((line, one[1] if one else rest[at:]))
            at = one.end() if one else len(rest)
    return found


def _unquoted(one: str) -> str:
    """Without the quotes around all of it, as around a program."""
    if len(one) > 1 and one[0] == one[-1] == '"' and '"' not in re.sub(r"\\.", "", one[1:-1]):
        return re.sub(r"\\(.)", r"\1", one[1:-1])
    return one


def _reason(one: str) -> str:
    """Why it is no address."""
    if one.startswith("|"):
        hint = ": say it in a vacation of your own" if "vacation" in one else ""
        return f"it hands the message to a program{hint}"
    if one.startswith("/"):
        return "it files into a file"
    if one.startswith(":include:"):
        return "it reads addresses from a file"
    return ""
