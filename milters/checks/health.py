"""Are the lists well? The periodic test of every DNS blacklist, run in the `jobs` process.

RFC 5782 section 5: a list has 127.0.0.2 (IPv6: ::FFFF:7F00:2) and has not 127.0.0.1
(::FFFF:7F00:1); one of names has `test` and has not `invalid`. A wrong answer sets the list aside
for that family of addresses, or for names, at once, silence after two tests in a row; the first
test that passes brings it back. Postmaster hears of it once, in one notice for all lists that a
test finds sick, and of one list at most once a day. A notice that cannot be sent is owed and tried
again with the next test.

Lists without test entries say `health = "any-answer"`, where only silence and error codes count,
or `"off"`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from iems.dns.resolver import Answer, Question, Resolver
from iems.notices.postmaster import NoticeError, Notifier, Reporter
from iems.serve.deadline import Deadline
from milters.checks.guard import ListHealth, publish, published
from milters.checks.zone import LISTED, Entries, ZoneSettings, outcome

NOTICE = "lists-aside"
_SILENT = 2
_DAY = 86400.0
_ROUND = 15.0
"""Seconds for all questions of one test, which are asked together."""


@dataclass(frozen=True, slots=True)
class Tested:
    """One list and family: what is wrong, empty for nothing, and whether it is only silence."""

    label: str
    family: str
    wrong: str = ""
    silent: bool = False


def tested(
    lists: Mapping[str, ZoneSettings], resolver: Resolver, deadline: Deadline
) -> Iterator[Tested]:
    """Every list that wants to be tested; all questions leave together."""
    asked = [
        (label, family, entries, [_ask(resolver, name, settings) for name in entries.names])
        for label, settings in lists.items()
        for family, entries in _tests(settings).items()
    ]
    for label, family, entries, questions in asked:
        listed, clear = (question.result(deadline) for question in questions)
        yield Tested(label, family, *_verdict(lists[label], entries, listed, clear))


class HealthTest:
    """All lists of a site, by label; `resolver` must not answer from a cache of its own."""

    def __init__(
        self,
        lists: Mapping[str, ZoneSettings],
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

    def _still_tested(self, settings: ZoneSettings, before: ListHealth) -> ListHealth:
        """Without what is held against families that the settings no longer let test."""
        tested = _tests(settings)
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


def _tests(settings: ZoneSettings) -> Mapping[str, Entries]:
    return settings.entries() if settings.health != "off" else {}


def _ask(resolver: Resolver, name: str, settings: ZoneSettings) -> Question:
    return resolver.ask(f"{name}.{settings.zone}", "A")


def _verdict(
    settings: ZoneSettings, entries: Entries, listed: Answer, clear: Answer
) -> tuple[str, bool]:
    if not listed.status.definite or not clear.status.definite:
        silent = clear if listed.status.definite else listed
        return f"no answer ({silent.status.value})", True
    word = _word(settings, listed)
    if word == "error":
        return f"its answer is {' '.join(listed.records)}", False
    if settings.health == "any-answer":
        return "", False
    if word == "clear":
        return f"the test entry {entries.listed} is not listed", False
    if _word(settings, clear) == LISTED:
        return f"{entries.clear} is listed, and so perhaps everybody", False
    return "", False


def _word(settings: ZoneSettings, answer: Answer) -> str:
    """As for a client, but any code counts as a listing: the mask may leave the test's code out."""
    word = outcome(settings, answer)
    return LISTED if word == "clear" and answer.records else word
