"""check_host() of SPF (RFC 7208 section 4) over a `Resolver`.

One evaluation is one object, so any number of them run at once. The record of the domain is asked
for when the evaluation is made; all the rest is done in `result`, where the names that the terms of
a record need are asked for together, and the terms are then looked at in their order.

What a record can cost is bounded: 10 terms that ask (section 4.6.4), 2 of them without any record,
10 names of an MX or a PTR, the length of a record, and the deadline. A limit of the RFC ends in
`permerror`, the deadline and a failure of the DNS in `temperror`; nothing raises.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from iems.codec.macros import MacroError, Macros, explain_string
from iems.codec.printable import printable
from iems.codec.spf import Directive, Record, SpfSyntaxError, is_record, parse
from iems.dns.resolver import Answer, Question, Resolver, Rtype, Status
from iems.model.address import AddressError, domain_name
from iems.serve.deadline import Deadline

_TERMS, _VOID, _NAMES = 10, 2, 10
"""The limits of section 4.6.4."""

_TEXT = 200
"""Characters of an explanation and of a fault that are kept."""

_KEPT, _SHORT = 256, 1024
"""Records that are kept as terms, and their length at most: large senders come again and again, and
a record of 24 networks costs 0.2 ms to read. 256 of the worst hold 9 MB."""

_DOMAIN = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+")
_NAME = re.compile(r"(?=[\x00-\x7f]{1,253}\Z)[^.]{1,63}(\.[^.]{1,63})*", re.DOTALL)

_NOTHING = Answer(Status.NXDOMAIN)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Identity:
    """Who says that he sends: `address` is the client's, `receiver` our name for the macro r."""

    address: Address
    local: str
    domain: str
    helo: str
    receiver: str

    @classmethod
    def of(cls, address: Address, sender: str, helo: str, receiver: str) -> Identity:
        """By MAIL, or by HELO where its sender is the null one (section 2.4).

        An IPv4 address that is mapped into IPv6 is one of IPv4 (section 5).
        """
        route = sender.startswith("@") and ":" in sender
        bare = sender.rpartition(":")[2] if route else sender
        local, _at, domain = bare.rpartition("@") if sender else ("", "", helo)
        if len(local) > 1 and local.startswith('"') and local.endswith('"'):
            local = re.sub(r"\\(.)", r"\1", local[1:-1], flags=re.DOTALL)
        try:
            name = domain_name(domain)
        except AddressError:
            name = ""
        four = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return cls(four or address, local or "postmaster", name, helo, receiver)


@dataclass(frozen=True, slots=True)
class Result:
    """A word of section 2.6; the term that matched, or why there is an error; what `exp` says.

    All of it is printable ASCII of bounded length.
    """

    outcome: str
    mechanism: str = ""
    problem: str = ""
    explanation: str = ""


class Records:
    """Reads records, and keeps what it has read; for all evaluations of a process."""

    def __init__(self) -> None:
        self._kept = functools.lru_cache(_KEPT)(parse)

    def parse(self, text: str) -> Record:
        """The record, or SpfSyntaxError."""
        return self._kept(text) if len(text) <= _SHORT else parse(text)


class _Error(Exception):
    """The evaluation ends: `permerror` or `temperror`."""

    def __init__(self, outcome: str, problem: str) -> None:
        super().__init__(problem)
        self.result = Result(outcome, problem=printable(problem, _TEXT))


@dataclass(frozen=True, slots=True)
class _Found:
    """What the record of a domain comes to."""

    outcome: str
    domain: str = ""
    mechanism: str = ""
    explanation: Macros | None = None


class Evaluation:
    """One call of check_host(); used by one thread."""

    def __init__(
        self,
        resolver: Resolver,
        identity: Identity,
        records: Records,
        clock: Callable[[], float] = time.time,
    ) -> None:
        four = identity.address.version == 4
        self._resolver = resolver
        self._identity = identity
        self._records = records
        self._family: Rtype = "A" if four else "AAAA"
        self._bits = identity.address.max_prefixlen
        self._values = {
            "s": f"{identity.local}@{identity.domain}",
            "l": identity.local,
            "o": identity.domain,
            "i": _dotted(identity.address),
            "v": "in-addr" if four else "ip6",
            "h": identity.helo,
            "c": str(identity.address),
            "r": identity.receiver,
            "t": str(int(clock())),
        }
        self._names: list[str] | None = None
        self._questions: dict[tuple[str, Rtype], Question] = {}
        self._deadline = Deadline(0.0)
        self._terms = self._void = 0
        if _DOMAIN.fullmatch(identity.domain):
            self._ask(identity.domain, "TXT")

    def result(self, deadline: Deadline) -> Result:
        """The result, at the deadline at the latest; to be called once."""
        self._deadline = deadline
        if not _DOMAIN.fullmatch(self._identity.domain):
            return Result("none")
        try:
            found = self._check_host(self._identity.domain)
        except _Error as error:
            return error.result
        explanation = self._explanation(found) if found.outcome == "fail" else ""
        return Result(found.outcome, printable(found.mechanism, _TEXT), "", explanation)

    def _check_host(self, domain: str) -> _Found:
        record = self._record(domain)
        if record is None:
            return _Found("none")
        self._ask_ahead(record, domain)
        for directive in record.directives:
            if self._matches(directive, domain):
                return _Found(directive.outcome, domain, directive.text, record.explanation)
        if record.redirect is None:
            return _Found("neutral")
        self._count_term()
        target = self._name(record.redirect, domain) or ""
        found = self._check_host(target)
        if found.outcome == "none":
            raise _Error("permerror", f"redirect={target} leads to no SPF record")
        return found

    def _record(self, domain: str) -> Record | None:
        """The one SPF record of a domain (sections 4.3 to 4.5)."""
        if "." not in domain:
            return None
        records = [one for one in self._answer(domain, "TXT").records if is_record(one)]
        if not records:
            return None
        if len(records) > 1:
            raise _Error("permerror", f"{domain} has {len(records)} SPF records")
        try:
            return self._records.parse(records[0])
        except SpfSyntaxError as error:
            raise _Error("permerror", f"{domain}: {error}") from None

    def _ask_ahead(self, record: Record, domain: str) -> None:
        """Ask what the terms need that are looked at unless one before them matches."""
        room = _TERMS - self._terms
        for directive in record.directives:
            if directive.name == "all" or self._is_own(directive):
                return
            if directive.name not in _FIRST:
                continue
            if not room:
                return
            room -= 1
            if directive.domain is None or "p" not in directive.domain.letters():
                self._ask_first(directive, domain)

    def _ask_first(self, directive: Directive, domain: str) -> None:
        target = self._target(directive, domain)
        if directive.name == "ptr":
            target = self._identity.address.reverse_pointer
        if target is not None:
            self._ask(target, _FIRST[directive.name] or self._family)

    def _matches(self, directive: Directive, domain: str) -> bool:
        if directive.name == "all":
            return True
        if directive.name in {"ip4", "ip6"}:
            return self._is_own(directive)
        self._count_term()
        target = self._target(directive, domain)
        if target is None:
            return False
        if directive.name == "include":
            return self._includes(target)
        if directive.name == "exists":
            return bool(self._counted(target, "A").records)
        if directive.name == "ptr":
            names = self._own_names()
            return any(name == target.lower() or _is_below(name, target) for name in names)
        length = directive.lengths[self._identity.address.version == 6]
        return any(
            self._within(int(address), length)
            for answer in self._hosts(directive.name, target)
            for address in self._addresses(answer)
        )

    def _includes(self, domain: str) -> bool:
        found = self._check_host(domain)
        if found.outcome == "none":
            raise _Error("permerror", f"include:{domain} leads to no SPF record")
        return found.outcome == "pass"

    def _hosts(self, mechanism: str, domain: str) -> Iterator[Answer]:
        """The addresses of the domain, or of the hosts of its MX (sections 5.3 and 5.4)."""
        if mechanism == "a":
            yield self._counted(domain, self._family)
            return
        records = self._counted(domain, "MX").records
        if len(records) > _NAMES:
            raise _Error("permerror", f"{domain} has more than {_NAMES} MX records")
        hosts = [record.partition(" ")[2] for record in records]
        self._ask_all(hosts)
        for host in hosts:
            yield self._answer(host, self._family)

    def _own_names(self) -> list[str]:
        """The names of the client that lead back to it, looked up once."""
        if self._names is None:
            self._names = [name.lower() for name in self._pointers() if self._leads_back(name)]
        return self._names

    def _pointers(self) -> tuple[str, ...]:
        """The names of the client; none where the DNS fails (section 5.5)."""
        try:
            answer = self._answer(self._identity.address.reverse_pointer, "PTR")
        except _Error:
            return ()
        self._count_void(answer)
        self._ask_all(answer.records[:_NAMES])
        return answer.records[:_NAMES]

    def _leads_back(self, name: str) -> bool:
        try:
            return self._identity.address in self._addresses(self._answer(name, self._family))
        except _Error:
            return False

    def _addresses(self, answer: Answer) -> list[Address]:
        found = map(_address, answer.records)
        return [address for address in found if address is not None]

    def _is_own(self, directive: Directive) -> bool:
        """Whether `ip4` or `ip6` names the client."""
        return directive.name == f"ip{self._identity.address.version}" and self._within(
            directive.network, directive.lengths[0]
        )

    def _within(self, network: int, length: int) -> bool:
        return (network ^ int(self._identity.address)) >> (self._bits - length) == 0

    def _count_term(self) -> None:
        self._terms += 1
        if self._terms > _TERMS:
            raise _Error("permerror", f"more than {_TERMS} terms that need the DNS")

    def _ask(self, name: str, rtype: Rtype) -> Question | None:
        """The question, sent once; None where the text can be no name."""
        key = (name.lower(), rtype)
        if key not in self._questions:
            if not _NAME.fullmatch(name):
                return None
            self._questions[key] = self._resolver.ask(*key)
        return self._questions[key]

    def _ask_all(self, hosts: Iterable[str]) -> None:
        for host in hosts:
            self._ask(host, self._family)

    def _answer(self, name: str, rtype: Rtype) -> Answer:
        """The zone's word; a text that can be no name is in no zone."""
        question = self._ask(name, rtype)
        answer = _NOTHING if question is None else question.result(self._deadline)
        if not answer.status.definite:
            raise _Error("temperror", f"{name} {rtype}: {answer.status.value}")
        return answer

    def _counted(self, name: str, rtype: Rtype) -> Answer:
        answer = self._answer(name, rtype)
        self._count_void(answer)
        return answer

    def _count_void(self, answer: Answer) -> None:
        self._void += answer.status is not Status.FOUND
        if self._void > _VOID:
            raise _Error("permerror", f"more than {_VOID} terms whose names have no records")

    def _target(self, directive: Directive, domain: str) -> str | None:
        return domain if directive.domain is None else self._name(directive.domain, domain)

    def _name(self, macros: Macros, domain: str) -> str | None:
        return macros.name(functools.partial(self._value, domain))

    def _explanation(self, found: _Found) -> str:
        """What the domain says of its `fail` (section 6.2); nothing where anything is wrong."""
        if found.explanation is None:
            return ""
        try:
            name = self._name(found.explanation, found.domain)
            records = self._answer(name, "TXT").records if name else ()
            text = explain_string(records[0]) if len(records) == 1 else None
        except (_Error, MacroError):
            return ""
        said = text.expand(functools.partial(self._value, found.domain)) if text else None
        return printable(said or "", _TEXT)

    def _value(self, domain: str, letter: str) -> str:
        """What a macro letter stands for (section 7.2)."""
        if letter == "p":
            return self._own_name(domain)
        return domain if letter == "d" else self._values[letter]

    def _own_name(self, domain: str) -> str:
        """The macro p (section 7.3): the domain itself, a name below it, or any name."""
        names = self._own_names()
        below = [name for name in names if _is_below(name, domain)]
        own = [name for name in names if name == domain.lower()]
        return next(iter((*own, *below, *names)), "unknown")


_FIRST: dict[str, Rtype | None] = {
    "include": "TXT",
    "exists": "A",
    "mx": "MX",
    "ptr": "PTR",
    "a": None,
}
"""Mechanism -> what is asked of its name first; None is A or AAAA, as the client's address is."""


def _is_below(name: str, domain: str) -> bool:
    return name.endswith(f".{domain.lower()}")


def _dotted(address: Address) -> str:
    if address.version == 4:
        return str(address)
    return ".".join(address.exploded.replace(":", ""))


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
