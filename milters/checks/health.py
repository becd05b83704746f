"""Are the lists well? The periodic test of every DNS blacklist, run in the `jobs` process.

RFC 5782 section 5: a list has 127.0.0.2 (IPv6: ::FFFF:7F00:2) and has not 127.0.0.1
(::FFFF:7F00:1). A wrong answer sets the list aside for that family of addresses at once, silence
after two tests in a row; the first test that passes brings it back. Postmaster hears of it once,
in one notice for all lists that a test finds sick, and of one list at most once a day. A notice
that cannot be sent is owed and tried again with the next test.

Lists without test entries say `health = "any-answer"`, where only silence and error codes count,
or `"off"`.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from iems.dns.resolver import Answer, Question, Resolver
from iems.notices.postmaster import NoticeError
from iems.serve.deadline import Deadline
from milters.checks import dnsbl
from milters.checks.clients import Address
from milters.checks.guard import ListHealth, publish, published

NOTICE = "lists-aside"
_SILENT = 2
_DAY = 86400.0
_ROUND = 15.0
"""Seconds for all questions of one test, which are asked together."""

_ENTRIES: Mapping[str, tuple[Address, Address]] = {
    "ipv4": (ipaddress.ip_address("127.0.0.2"), ipaddress.ip_address("127.0.0.1")),
    "ipv6": (ipaddress.ip_address("::ffff:7f00:2"), ipaddress.ip_address("::ffff:7f00:1")),
}


class Notifier(Protocol):
    """Who tells postmaster (`iems.notices.postmaster.Postmaster`)."""

    def notify(self, name: str, **values: str) -> None:
        """Send the notice; NoticeError where it cannot be sent."""
        ...


class Reporter(Protocol):
    """Who writes the log."""

    def warning(self, text: str, **fields: object) -> None:
        """One line."""
        ...


@dataclass(frozen=True, slots=True)
class Tested:
    """One list and family: what is wrong, empty for nothing, and whether it is only silence."""

    label: str
    family: str
    wrong: str = ""
    silent: bool = False


def tested(
    lists: Mapping[str, dnsbl.Settings], resolver: Resolver, deadline: Deadline
) -> Iterator[Tested]:
    """Every list that wants to be tested; all questions leave together."""
    asked = [
        (label, family, [_ask(resolver, one, settings) for one in _ENTRIES[family]])
        for label, settings in lists.items()
        for family in (settings.families if settings.health != "off" else ())
    ]
    for label, family, questions in asked:
        listed, clear = (question.result(deadline) for question in questions)
        yield Tested(label, family, *_verdict(lists[label], family, listed, clear))


class HealthTest:
    """All lists of a site, by label; `resolver` must not answer from a cache of its own."""

    def __init__(
        self,
        lists: Mapping[str, dnsbl.Settings],
        resolver: Resolver,
        path: Path,
        notifier: Notifier,
        log: Reporter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lists = lists
        self._resolver = resolver
        self._path = path
        self._notifier = notifier
        self._log = log
        self._clock = clock

    def run(self, deadline: Deadline) -> None:
        """Test every list once, publish the result, then send the notice that is owed."""
        before = published(self._path)
        health = {
            label: self._still_tested(settings, before.get(label, ListHealth()))
            for label, settings in self._lists.items()
        }
        end = deadline.sooner(_ROUND)
        for test in tested(self._lists, self._resolver, end):
            health[test.label] = self._changed(test, health[test.label])
        publish(self._path, health)
        noticed = self._notice(health)
        if noticed != health:
            publish(self._path, noticed)

    def _still_tested(self, settings: dnsbl.Settings, before: ListHealth) -> ListHealth:
        """Without what is held against families that the settings no longer let test."""
        tested = settings.families if settings.health != "off" else ()
        aside = {family: why for family, why in before.aside.items() if family in tested}
        return replace(before, aside=aside, owed=before.owed and bool(aside))

    def _changed(self, test: Tested, before: ListHealth) -> ListHealth:
        wrong, silent = test.wrong, test.silent
        count = before.silent.get(test.family, 0) + 1 if silent else 0
        aside = {name: why for name, why in before.aside.items() if name != test.family}
        known = before.aside.get(test.family, "")
        if wrong and (known or not silent or count >= _SILENT):
            aside[test.family] = wrong
        after = replace(before, aside=aside, silent={**before.silent, test.family: count})
        if bool(known) == (test.family in aside):
            return after
        now = self._clock()
        word = f"set aside: {wrong}" if test.family in aside else "asked again"
        self._log.warning(f"list {word}", list=test.label, family=test.family)
        owed = bool(aside) and now - before.noticed >= _DAY
        return replace(after, since=now, owed=owed)

    def _notice(self, health: Mapping[str, ListHealth]) -> Mapping[str, ListHealth]:
        owed = {label: one for label, one in health.items() if one.owed}
        if not owed:
            return health
        lines = [
            f"  {label} ({family}): {why}"
            for label, one in sorted(owed.items())
            for family, why in sorted(one.aside.items())
        ]
        try:
            self._notifier.notify(NOTICE, lists="\n".join(lines))
        except NoticeError as error:
            self._log.warning("notice to postmaster not sent", notice=NOTICE, error=str(error))
            return health
        now = self._clock()
        sent = {label: replace(one, owed=False, noticed=now) for label, one in owed.items()}
        return {**health, **sent}


def _ask(resolver: Resolver, address: Address, settings: dnsbl.Settings) -> Question:
    return resolver.ask(dnsbl.question(address, settings.zone), "A")


def _verdict(
    settings: dnsbl.Settings, family: str, listed: Answer, clear: Answer
) -> tuple[str, bool]:
    if not listed.status.definite or not clear.status.definite:
        silent = clear if listed.status.definite else listed
        return f"no answer ({silent.status.value})", True
    word = _word(settings, listed)
    if word == "error":
        return f"its answer is {' '.join(listed.records)}", False
    if settings.health == "any-answer":
        return "", False
    yes, no = _ENTRIES[family]
    if word == "clear":
        return f"the test entry {yes} is not listed", False
    if _word(settings, clear) == dnsbl.LISTED:
        return f"{no} is listed, and so perhaps everybody", False
    return "", False


def _word(settings: dnsbl.Settings, answer: Answer) -> str:
    """As for a client, but any code counts as a listing: the mask may leave the test's code out."""
    word = dnsbl.outcome(settings, answer)
    return dnsbl.LISTED if word == "clear" and answer.records else word
