"""SPF records as values (RFC 7208 sections 4.6, 5, 6 and 12): text in, terms out.

Pure. A record is read whole before anything of it is evaluated, since a fault anywhere in it is the
result (section 4.6). Whatever text comes, the result is a `Record` or `SpfSyntaxError`, after work
bounded by the length of the text.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from iems.codec.macros import Macros, domain_spec, macro_string

QUALIFIERS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}

LONGEST = 16_384
"""Characters; the longest record seen in use has some 4,000, and RFC 7208 section 3.4 wants 450."""

_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([A-Za-z0-9]+)(?::(.*)|(/.*))?", re.DOTALL)
_LENGTHS = re.compile(r"(.*?)(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?", re.DOTALL)
_NETWORK = re.compile(r"([0-9A-Fa-f:.]{2,45})(?:/(0|[1-9][0-9]{0,2}))?")


class SpfSyntaxError(ValueError):
    """The text is no SPF record; the message quotes the term."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A qualifier and a mechanism; `domain` is None where the current domain is meant.

    `network` is the address of `ip4` and `ip6` as a number; `lengths` are the prefixes that are
    compared, by the version of the client's address.
    """

    text: str
    outcome: str
    name: str
    domain: Macros | None = None
    network: int = 0
    lengths: tuple[int, int] = (32, 128)


@dataclass(frozen=True, slots=True)
class Record:
    """All terms in their order, without modifiers that nobody knows."""

    directives: tuple[Directive, ...]
    redirect: Macros | None = None
    explanation: Macros | None = None


def is_record(text: str) -> bool:
    """Whether a TXT record is one of SPF (section 4.5)."""
    return text[:6].lower() == "v=spf1" and text[6:7] in {"", " "}


def parse(text: str) -> Record:
    """The record of a text for which `is_record` is true."""
    if len(text) > LONGEST:
        raise SpfSyntaxError(f"a record of {len(text)} characters")
    directives: list[Directive] = []
    known: dict[str, Macros] = {}
    for term in text[6:].split(" "):
        if not term:
            continue
        modifier = _MODIFIER.fullmatch(term)
        try:
            if modifier is None:
                directives.append(_directive(term))
            else:
                _modifier(modifier[1].lower(), modifier[2], known)
        except ValueError as error:
            raise SpfSyntaxError(f"{term[:100]}: {error}") from None
    return Record(tuple(directives), known.get("redirect"), known.get("exp"))


def _modifier(name: str, value: str, known: dict[str, Macros]) -> None:
    if name not in {"redirect", "exp"}:
        macro_string(value)
        return
    if name in known:
        raise ValueError(f"{name} stands there twice")
    known[name] = domain_spec(value)


def _directive(term: str) -> Directive:
    outcome = QUALIFIERS.get(term[0])
    found = _MECHANISM.fullmatch(term if outcome is None else term[1:])
    if found is None:
        raise ValueError("no mechanism and no modifier")
    name, argument, lengths = found[1].lower(), found[2], found[3] or ""
    outcome = outcome or "pass"
    if name in {"ip4", "ip6"} and argument:
        return _address(term, outcome, name, argument)
    if name in {"a", "mx"}:
        return _named(term, outcome, name, argument, lengths)
    if lengths or name not in _ARGUMENT or _ARGUMENT[name] == (argument is None):
        raise ValueError("no mechanism of this form")
    domain = None if argument is None else domain_spec(argument)
    return Directive(term, outcome, name, domain)


_ARGUMENT = {"all": False, "include": True, "exists": True, "ptr": None}
"""Whether a domain must stand behind the name; None where it may."""


def _named(term: str, outcome: str, name: str, argument: str | None, tail: str) -> Directive:
    split = _LENGTHS.fullmatch(tail if argument is None else argument)
    if split is None:
        raise ValueError("no prefix length of an address")
    head, four, six = split[1], int(split[2] or 32), int(split[3] or 128)
    if four > 32 or six > 128 or (argument is None and head):
        raise ValueError("no prefix length of an address")
    return Directive(
        term, outcome, name, None if argument is None else domain_spec(head), 0, (four, six)
    )


def _address(term: str, outcome: str, name: str, argument: str) -> Directive:
    found = _NETWORK.fullmatch(argument)
    kind = ipaddress.IPv4Address if name == "ip4" else ipaddress.IPv6Address
    try:
        network = kind(found[1] if found else "")
    except ValueError:
        raise ValueError("no address") from None
    bits = network.max_prefixlen
    length = int(found[2] or bits) if found else bits
    if length > bits:
        raise ValueError("no prefix length of an address")
    return Directive(term, outcome, name, None, int(network), (length, length))
