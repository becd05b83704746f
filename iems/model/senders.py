"""Allow and block lists of senders: their entries, and which one speaks of a message.

An entry names an address, a domain, the names below a domain (`.example.org`) or a network. It is
compared with the envelope sender, with every author in From, and with the client; one that says
`envelope` blocks the envelope sender alone. An allow entry
counts where the sender is proven, by SPF or DKIM of the same organisational domain, unless it says
`unverified`; a client's address proves itself. From counts for it only where it names one author.
"""

from __future__ import annotations

import functools
import ipaddress
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from iems.model.address import Address, domain_name
from iems.model.envelope import IpAddress

_LONGEST = 400
"""Characters of an entry; an address has at most 320."""

MAX_TOLD = 200
"""Characters of what a blocked sender is told: help and reference stand on the same line."""

_UNVERIFIED, _ENVELOPE = "unverified", "envelope"


@dataclass(frozen=True, slots=True)
class SenderEntry:
    """One entry; `pattern` is in the one form in which patterns are compared.

    `told` is what the sender is told whom it blocks, printable ASCII; empty: what the site says. It
    is no part of the text of an entry.
    """

    pattern: str
    allows: bool
    unverified: bool = False
    envelope: bool = False
    told: str = ""

    @classmethod
    def parse(cls, text: str) -> SenderEntry:
        """Read `allow PATTERN [unverified]` or `block PATTERN [envelope]`.

        ValueError says what is wrong.
        """
        word, _blank, rest = text.partition(" ")
        if word not in {"allow", "block"} or len(text) > _LONGEST:
            raise ValueError(
                "expected allow PATTERN, allow PATTERN unverified, block PATTERN or "
                "block PATTERN envelope"
            )
        allows = word == "allow"
        if not allows and rest.endswith(f" {_UNVERIFIED}"):
            raise ValueError("a block entry asks for no proof, so it cannot be unverified")
        more = _UNVERIFIED if allows else _ENVELOPE
        bare = rest.removesuffix(f" {more}")
        pattern, said = parse_pattern(bare), bare != rest
        return cls(pattern, allows, unverified=allows and said, envelope=said and not allows)

    def __str__(self) -> str:
        words = ["allow" if self.allows else "block", self.pattern]
        words += [_UNVERIFIED] * self.unverified + [_ENVELOPE] * self.envelope
        return " ".join(words)


Senders: TypeAlias = Mapping[str, SenderEntry]
"""The list of one subject, by pattern."""


def parse_pattern(text: str) -> str:
    """The pattern in its one form; ValueError where it is none."""
    if "@" in text:
        return _canonical(Address.parse(text))
    if text.startswith("."):
        return f".{domain_name(text[1:])}"
    if "/" in text or _is_ip(text):
        try:
            return ipaddress.ip_network(text).with_prefixlen
        except ValueError as error:
            raise ValueError(f"{text!r} is no network: {error}") from None
    domain = domain_name(text)
    if "." not in domain:
        raise ValueError(f"{text!r} is no address, domain, .domain or network")
    return domain


@dataclass(frozen=True, slots=True)
class Match:
    """A pattern that fits the message; `proven` says that the sender is who he says he is.

    Nothing is allowed by an author who is not the only one (`alone`). `envelope`: it is the
    envelope sender whom it fits.
    """

    pattern: str
    proven: bool
    alone: bool = True
    envelope: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of who sent a message.

    `proven` are the domains for which SPF (of MAIL FROM) or DKIM passed, `authors` local part and
    domain of each author, of whom there is a `sole` one or not; `registered` gives the
    organisational domain of a domain, or an empty text.
    """

    registered: Callable[[str], str]
    envelope: Address | None = None
    proven: frozenset[str] = frozenset()
    authors: tuple[tuple[str, str], ...] = ()
    sole: bool = False
    client: IpAddress | None = None

    @functools.cached_property
    def matches(self) -> tuple[Match, ...]:
        """Every pattern that fits."""
        found: list[Match] = []
        if self.envelope is not None:
            proven = self._stands_behind(self.envelope.domain)
            local, domain = self.envelope.local, self.envelope.domain
            found += (Match(one, proven, envelope=True) for one in _patterns(local, domain))
        for local, domain in self.authors:
            proven = self._stands_behind(domain)
            found += (Match(one, proven, self.sole) for one in _patterns(local, domain))
        if self.client is not None:
            found += (Match(one, proven=True) for one in _networks(self.client))
        return tuple(found)

    def may_yet_allow(self, entry: SenderEntry) -> bool:
        """Whether header or DKIM may still make this entry count: who knows the envelope only.

        It may where it is of the organisational domain of the envelope sender.
        """
        if not entry.allows or self.envelope is None or "/" in entry.pattern:
            return False
        if entry.pattern in self._fitting:
            return True
        domain = entry.pattern.rpartition("@")[2].removeprefix(".")
        return domain == self._top or domain.endswith(f".{self._top}")

    def _stands_behind(self, domain: str) -> bool:
        return domain in self.proven or self.registered(domain) in self._organisations

    @functools.cached_property
    def _fitting(self) -> frozenset[str]:
        return frozenset(one.pattern for one in self.matches)

    @functools.cached_property
    def _top(self) -> str:
        """The organisational domain of the envelope sender."""
        domain = self.envelope.domain if self.envelope else ""
        return self.registered(domain) or domain

    @functools.cached_property
    def _organisations(self) -> frozenset[str]:
        return frozenset(map(self.registered, self.proven)) - {""}


def entry_for(senders: Senders, facts: Facts, *, hope: bool = False) -> SenderEntry | None:
    """The entry of this list that speaks of the message: the most exact, of two equals the block.

    With `hope` an allow entry that may still come to count does.
    """
    found = [
        entry
        for match in facts.matches
        if (entry := senders.get(match.pattern)) is not None and _counts(entry, match)
    ]
    if hope:
        found += filter(facts.may_yet_allow, senders.values())
    return max(found, key=lambda one: (*_exactness(one.pattern), not one.allows), default=None)


def _counts(entry: SenderEntry, match: Match) -> bool:
    if not entry.allows:
        return match.envelope or not entry.envelope
    return match.alone and (match.proven or entry.unverified)


def _exactness(pattern: str) -> tuple[int, int]:
    """An address, a domain, what is below a domain, a network; of the last two the narrower."""
    if "/" in pattern:
        return 0, int(pattern.rpartition("/")[2])
    if pattern.startswith("."):
        return 1, pattern.count(".")
    return (3 if "@" in pattern else 2), 0


def _patterns(local: str, domain: str) -> Iterator[str]:
    """All that fit this address; an author's local part may be unknown, and then is empty."""
    if local:
        yield _canonical(Address(local, domain))
    yield domain
    if not domain.startswith("["):
        rest = domain
        while rest:
            _label, _dot, rest = rest.partition(".")
            if rest:
                yield f".{rest}"


def _networks(client: IpAddress) -> Iterator[str]:
    # ip_network() would take five times as long, for a hundred networks of one message.
    bits, value, kind = client.max_prefixlen, int(client), type(client)
    for length in range(bits + 1):
        yield f"{kind(value >> bits - length << bits - length)}/{length}"


def _canonical(address: Address) -> str:
    return str(Address(unicodedata.normalize("NFC", address.local.casefold()), address.domain))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
