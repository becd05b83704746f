"""The check `bayes`: what the own filter of each recipient says of a message at its delivery.

Words and features are made once for a message, and only where somebody who gets it has a filter.
What a recipient has trained is read anew for each message, and not changed here. What was seen is
remembered then, so that training learns from the message as it came.

Failure: whatever is wrong with a filter or with what is kept of it costs the finding, which is
`temperror` then, and a second of the mail's time: a store that has failed is left alone for some.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from iems.codec.printable import printable
from iems.model.envelope import parse_ip
from iems.model.finding import BAYES, TEMPERROR, Finding
from iems.model.policy import Action
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.bayes import OFF, SHADOW, BayesSettings
from iems.settings.judging import JudgingSettings, judging, wanted
from iems.settings.policy import Mode
from iems.settings.read import Network
from iems.settings.schema import Settings
from iems.store.spool import Spooled
from lmtp.bayes import tokens
from lmtp.bayes.classifier import CLASSIFIERS, Classifier
from lmtp.bayes.features import FeaturesError
from lmtp.bayes.marks import enough
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.score import Evidence, Score, Verdict
from lmtp.bayes.state import State, StateError, decode
from lmtp.bayes.store import DamagedError, Kept, Store, StoreError
from lmtp.outcome import NOTHING, Found, Outcome
from lmtp.subjects import Target
from lmtp.trained import connect_memory, connect_store

SECONDS = 5.0
"""For all recipients of a message."""

PATIENCE = 1.0
"""Seconds for one read or write; one takes less than a thousandth of that."""

REST = 5.0
"""Seconds for which nobody asks who has failed: mail would wait for each message anew."""

_WORDS, _WORD = 5, 40
"""Words that are told, and letters of each."""


class Judgement(Protocol):
    """What is said of one message."""

    def found(self, target: Target) -> Found:
        """What the filter of this recipient says."""
        ...

    def remember(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Keep what was seen for those who get the message; `now` in seconds of the epoch."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """Of a message that no filter looks at, or that has been looked at before."""

    what: Found = NOTHING

    def found(self, _target: Target) -> Found:
        """What is known."""
        return self.what

    def remember(self, _outcomes: Iterable[Outcome], _now: float) -> None:
        """Nothing."""


class Rest:
    """Whether somebody is left alone, for he has failed of late."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def begin(self) -> None:
        """From now on."""
        self._until = time.monotonic() + REST

    @property
    def lasts(self) -> bool:
        """Whether it does."""
        return time.monotonic() < self._until


@dataclass(frozen=True)
class Judge:
    """The filters of a site, for many messages at once; without a memory nothing is remembered."""

    store: Store
    memory: Memory | None
    mode: Mode
    options: JudgingSettings
    settings: BayesSettings
    own_networks: tuple[Network, ...]
    log: Log
    meter: Meter
    classifiers: Mapping[str, Classifier] = field(default_factory=lambda: CLASSIFIERS)
    unread: Rest = field(default_factory=Rest)
    unwritten: Rest = field(default_factory=Rest)

    @classmethod
    def of(cls, site: Settings, log: Log, meter: Meter) -> Judge | None:
        """That of a site, where the check is on; opens nothing. SettingsError for its options."""
        told = judging(site.checks)
        if told is None:
            return None
        store, memory = connect_store(site.bayes), connect_memory(site.bayes)
        return cls(store, memory, *told, site.bayes, site.own_networks, log, meter)

    def judgement(self, message: Spooled, channel: str, client: str) -> Judgement:
        """Of a message that came by this channel from this client; empty where nobody knows."""
        address = parse_ip(client)
        ours = address is not None and any(address in one for one in self.own_networks)
        if ours or (channel and channel not in self.options.channels):
            return Known()
        return Judged(self, message)

    def wanted(self, target: Target) -> str:
        """Whether the filter of this recipient is on, off or in shadow."""
        if not target.user:
            return OFF
        return wanted(self.mode, target.bayes or self.settings.default)

    @functools.cached_property
    def certain(self) -> float:
        """The log-odds from which spam is certain."""
        return math.log(self.options.certain / (1 - self.options.certain))


class Judged:
    """Of one message."""

    def __init__(self, judge: Judge, message: Spooled) -> None:
        self._judge = judge
        self._message = message
        self._deadline = Deadline.after(SECONDS)
        self._features: dict[bytes, bytes] = {}
        self._seen: dict[str, tuple[Score, bytes]] = {}

    def found(self, target: Target) -> Found:
        """See `Judgement`."""
        has = self._judge.wanted(target)
        if has == OFF:
            return NOTHING
        with self._judge.meter.timed("stage_seconds", stage=BAYES):
            finding = self._finding(target.user)
        self._judge.meter.count("bayes_total", verdict=finding.outcome)
        return Found((finding,), frozenset({BAYES}) if has == SHADOW else frozenset())

    def remember(self, outcomes: Iterable[Outcome], now: float) -> None:
        """See `Judgement`; what cannot be written is not remembered."""
        judge, memory = self._judge, self._judge.memory
        users = {one.target.user: one.action is Action.JUNK for one in outcomes}
        seen = [self._row(user, junk, now) for user, junk in users.items() if user in self._seen]
        if memory is None or not seen or judge.unwritten.lasts:
            return
        try:
            memory.add(seen, Deadline.after(PATIENCE))
        except StoreError as error:
            judge.unwritten.begin()
            self._failed("memory", error)
        except Exception as error:  # noqa: BLE001 - what is remembered is a help alone
            self._broken("message is not remembered", error)

    def _finding(self, user: str) -> Finding:
        judge = self._judge
        if judge.unread.lasts:
            return _unknown("what he has trained cannot be read")
        if self._deadline.expired:
            self._count("late")
            return _unknown("there was no time left")
        try:
            return self._judged(user)
        except (DamagedError, StateError, FeaturesError) as error:
            self._failed("damaged", error, user=user)
            return _unknown("what he has trained is damaged")
        except StoreError as error:
            judge.unread.begin()
            self._failed("store", error)
            return _unknown("what he has trained cannot be read")
        except Exception as error:  # noqa: BLE001 - a defect of a filter must not keep mail waiting
            self._broken("message is not judged", error, user=user)
            return _unknown("a defect of ours")

    def _judged(self, user: str) -> Finding:
        judge = self._judge
        kept = judge.store.load(user, self._deadline.sooner(PATIENCE))
        classifier, state = self._learned(kept)
        features = self._features.get(kept.salt)
        if features is None:
            features = classifier.features(self._read[0], kept.salt)
            self._features[kept.salt] = features
        score = classifier.classify(state, features)
        if min(kept.ham, kept.spam) < judge.settings.least:
            score = replace(score, verdict=Verdict.UNTRAINED)
        self._seen[user] = score, kept.salt
        if score.verdict is Verdict.UNTRAINED:
            reason = f"not enough data ({kept.ham} ham, {kept.spam} spam)"
            return Finding(BAYES, Verdict.UNTRAINED.value, "", reason)
        # Nobody asks why he got what he wanted, and it costs as much as the verdict.
        told = score.verdict is not Verdict.HAM
        words = classifier.explain(state, self._read[0], kept.salt, _WORDS) if told else ()
        return _said(score, judge.certain, words)

    def _learned(self, kept: Kept) -> tuple[Classifier, State]:
        judge = self._judge
        state = decode(kept.state) if kept.number else None
        name = state.classifier if state else judge.settings.classifier
        classifier = judge.classifiers.get(name)
        if classifier is None:
            raise StateError(f"there is no classifier {printable(name, 40)}")
        return classifier, state or classifier.empty()

    @functools.cached_property
    def _read(self) -> tuple[tokens.Tokens, bytes, bytes]:
        """What is made of as much of the message as is looked at, its key and its Message-ID."""
        body = self._judge.settings.max_message
        most, message = enough(body), bytearray(self._message.header)
        for piece in self._message.body.pieces():
            if len(message) >= most:
                break
            message += piece
        return tokens.all_of(bytes(message), body)

    def _row(self, user: str, junk: bool, now: float) -> Seen:
        _tokens, key, message_id = self._read
        score, salt = self._seen[user]
        return Seen(user, key, message_id, now, score, junk, salt, self._features[salt])

    def _failed(self, cause: str, error: Exception, **fields: object) -> None:
        self._count(cause)
        told = printable(str(error))
        self._judge.log.warning("filter is not available", cause=cause, error=told, **fields)

    def _broken(self, told: str, error: Exception, **fields: object) -> None:
        self._count("internal")
        self._judge.log.failure(told, error, **fields)

    def _count(self, cause: str) -> None:
        self._judge.meter.count("bayes_failures_total", cause=cause)


def _said(score: Score, certain: float, words: Iterable[Evidence]) -> Finding:
    word = score.verdict.value
    if score.verdict is Verdict.SPAM and score.log_odds >= certain:
        word = "certain"
    band = "" if score.verdict is Verdict.HAM else word
    told = ", ".join(f"{_short(one.word)} {one.pull:+.2f}" for one in words)
    said = f"probability {score.probability:.3f}" + (f": {told}" if told else "")
    reason = f"{word}, {said}" if band else said
    evidence = [("probability", f"{score.probability:.6f}"), ("log_odds", f"{score.log_odds:.3f}")]
    evidence += [("words", told)] if told else []
    return Finding(BAYES, word, band, reason, score.log_odds, tuple(evidence))


def _short(word: str) -> str:
    return word if len(word) <= _WORD else f"{word[: _WORD - 3]}..."


def _unknown(why: str) -> Finding:
    return Finding(BAYES, TEMPERROR, TEMPERROR, why)
