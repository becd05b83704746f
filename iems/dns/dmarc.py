"""Where a domain's DMARC record stands, and whose the domain is (RFC 9989 section 4.10).

The tree walk: `_dmarc` below the domain, and below each name above it, at most eight names, all
asked together. A name that cannot be looked up is `DnsError` once its answer is needed.

The organisational domain is the one of the tree walk, with a limit that RFC 9989 does not know: it
is never a name of the public suffix list, or whoever is given a name there (`a.dyndns.example`)
could speak for all the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iems.codec.dmarc import InvalidRecordError, Record, is_record, parse
from iems.dns.resolver import Answer, Question, Resolver, Rtype, Status
from iems.dns.suffixes import Suffixes
from iems.serve.deadline import Deadline

_QUERIES = 8
_NAME = 253
_NOTHING = Answer(Status.NXDOMAIN)


class DnsError(Exception):
    """The DNS did not answer in time; the message says what was asked."""


@dataclass(frozen=True, slots=True)
class Published:
    """A record and the domain that it was found at; None where the record cannot be read."""

    domain: str
    record: Record | None


class Tree:
    """The part of the tree that one message asks for; used by one thread."""

    def __init__(self, resolver: Resolver, suffixes: Suffixes) -> None:
        self._resolver = resolver
        self._suffixes = suffixes
        self._questions: dict[tuple[str, Rtype], Question] = {}

    def ask(self, domain: str) -> None:
        """Send the questions of the walk from this domain up."""
        for name in _walk(domain):
            self._ask(f"_dmarc.{name}", "TXT")

    def policy(self, domain: str, deadline: Deadline) -> Published | None:
        """The record that is for this author domain (section 4.10.1)."""
        own = self._at(domain, deadline)
        if own is not None:
            return own
        found = self._records(domain, deadline)
        organisation = _organisation(found, domain)
        for one in found:
            if one.domain == organisation:
                return one
        return found[-1] if found and _psd(found[-1]) == "y" else None

    def organisation(self, domain: str, deadline: Deadline) -> str:
        """The organisational domain (section 4.10.2)."""
        found = self._records(domain, deadline)
        chosen = _organisation(found, domain)
        if any(one.domain == chosen and _psd(one) == "n" for one in found):
            return chosen
        return max(chosen, self._suffixes.registered(domain), key=len)

    def exists(self, domain: str, deadline: Deadline) -> bool:
        """Whether the domain has any address or mail exchanger, or this cannot be known now."""
        types: tuple[Rtype, ...] = ("A", "AAAA", "MX")
        questions = [self._ask(domain, rtype) for rtype in types]
        for question in questions:
            answer = question.result(deadline) if question is not None else _NOTHING
            if answer.status is Status.NXDOMAIN:
                return False
            if answer.status is not Status.NODATA:
                return True
        return False

    def _records(self, domain: str, deadline: Deadline) -> list[Published]:
        """Those of the walk, up to the first that says whose the names below it are."""
        self.ask(domain)
        found: list[Published] = []
        for name in _walk(domain):
            one = self._at(name, deadline)
            if one is not None:
                found.append(one)
                if _psd(one) != "u":
                    break
        return found

    def _at(self, domain: str, deadline: Deadline) -> Published | None:
        """The record of exactly this domain; several are none."""
        question = self._ask(f"_dmarc.{domain}", "TXT")
        answer = question.result(deadline) if question is not None else _NOTHING
        if not answer.status.definite:
            raise DnsError(f"_dmarc.{domain} TXT: {answer.status.value}")
        records = [text for text in answer.records if is_record(text)]
        if len(records) != 1:
            return None
        try:
            return Published(domain, parse(records[0]))
        except InvalidRecordError:
            return Published(domain, None)

    def _ask(self, name: str, rtype: Rtype) -> Question | None:
        """The question, sent once; None where the name is too long to be one."""
        if len(name) > _NAME:
            return None
        key = (name, rtype)
        if key not in self._questions:
            self._questions[key] = self._resolver.ask(*key)
        return self._questions[key]


def _walk(domain: str) -> Iterator[str]:
    """The domain and the names above it; of a long one only those of seven labels and fewer."""
    labels = domain.split(".")
    yield domain
    for start in range(max(1, len(labels) - _QUERIES + 1), len(labels)):
        yield ".".join(labels[start:])


def _organisation(found: list[Published], domain: str) -> str:
    """What the records of a walk say, from the longest name to the shortest."""
    for one in found:
        if _psd(one) == "n":
            return one.domain
        if _psd(one) == "y":
            labels = domain.split(".")
            return ".".join(labels[-one.domain.count(".") - 2 :])
    return found[-1].domain if found else domain


def _psd(published: Published) -> str:
    return published.record.psd if published.record is not None else "u"
