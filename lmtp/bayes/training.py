"""Training: what a user says of a message, learned once, and taken back exactly.

The state and the journal's entry are saved together, over the version that was read; whoever comes
second reads again. What is known already changes nothing. A message that is another thing now than
it was before is taken back first. Where a state is damaged, or of a version or a classifier that is
not known, it is set aside, told, and made anew of the messages in the journal, as far as they go
back; so is one that is missing where there is a journal.

Failure: a StoreError; nothing was changed then.
"""

from __future__ import annotations

import contextlib
import enum
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from iems.serve.deadline import Deadline
from lmtp.bayes.classifier import CLASSIFIERS, Classifier
from lmtp.bayes.features import FeaturesError
from lmtp.bayes.score import Verdict
from lmtp.bayes.state import State, StateError, decode
from lmtp.bayes.store import DamagedError, Entry, Kept, Store, StoreError

T = TypeVar("T")

_PAUSE = 0.02
"""Seconds that one waits at the most whom another was faster than, by chance: of several who train
one user at once the same one could lose each time."""


class Done(enum.StrEnum):
    """What became of it."""

    LEARNED = "learned"
    KNOWN = "known already"
    TURNED = "turned round"


@dataclass(frozen=True, slots=True)
class Trainer:
    """Who trains: `classifier` is for users who begin, all others keep theirs.

    `note` is told what was wrong with a state, and what was done.
    """

    store: Store
    classifier: Classifier
    note: Callable[[str], None] = lambda _why: None

    def learn(self, user: str, entry: Entry, deadline: Deadline) -> Done:
        """Learn a message as this; of the entry the change is empty yet.

        A message that is turned round keeps the score of the first time; one without a score gets
        what the filter says of it now. FeaturesError.
        """
        return self._tried(user, lambda: self._learn(user, entry, deadline), deadline)

    def undo(self, user: str, key: bytes, deadline: Deadline) -> bool:
        """Take back what was learned of the message with this key; whether there was anything."""
        return self._tried(user, lambda: self._undo(user, key, deadline), deadline)

    def mend(self, user: str, deadline: Deadline) -> bool:
        """Whether there is a state of his that can be used; a damaged one is made anew."""
        kept, _state = self._tried(user, lambda: self._read(user, deadline), deadline)
        return kept.number > 0

    def _tried(self, user: str, once: Callable[[], T | None], deadline: Deadline) -> T:
        """What `once` comes to, which is nothing where another was faster."""
        while (done := once()) is None:
            if deadline.expired:
                raise StoreError(f"{user}: others train at the same time")
            time.sleep(random.uniform(0.0, _PAUSE))  # noqa: S311 - it is no secret
        return done

    def _learn(self, user: str, entry: Entry, deadline: Deadline) -> Done | None:
        if (read := self._read(user, deadline)) is None:
            return None
        kept, state = read
        known = self.store.entry(user, entry.key, deadline)
        if known is not None and known.label is entry.label:
            return Done.KNOWN
        teacher = self._classifier(state)
        if known is not None:
            _take_back(teacher, state, known)
            entry = replace(entry, score=known.score)
        elif entry.score is None:
            entry = replace(entry, score=_said(teacher, state, entry.features))
        entry = replace(entry, change=teacher.train(state, entry.features, entry.label))
        if not self.store.save(user, _kept(kept, state, entry.time), deadline, add=entry):
            return None
        return Done.LEARNED if known is None else Done.TURNED

    def _undo(self, user: str, key: bytes, deadline: Deadline) -> bool | None:
        if (read := self._read(user, deadline)) is None:
            return None
        kept, state = read
        known = self.store.entry(user, key, deadline)
        if known is None:
            return False
        _take_back(self._classifier(state), state, known)
        return self.store.save(user, _kept(kept, state, kept.time), deadline, drop=key) or None

    def _classifier(self, state: State) -> Classifier:
        return CLASSIFIERS.get(state.classifier, self.classifier)

    def _read(self, user: str, deadline: Deadline) -> tuple[Kept, State] | None:
        """What he has trained; nothing where that had to be mended."""
        try:
            kept = self.store.load(user, deadline)
            if kept.number:
                return kept, state_of(kept)
        except DamagedError as error:
            self._set_aside(user, error.number, str(error), deadline)
        except StateError as error:
            self._set_aside(user, kept.number, f"what is kept of {user} is {error}", deadline)
        else:
            journal = self.store.journal(user, deadline)
            if not journal:
                return kept, self.classifier.empty()
            self._make_anew(user, kept, journal, deadline)
        return None

    def _set_aside(self, user: str, number: int, why: str, deadline: Deadline) -> None:
        if self.store.set_aside(user, number, why, deadline):
            self.note(f"{why}; it is set aside")

    def _make_anew(
        self, user: str, kept: Kept, journal: Sequence[Entry], deadline: Deadline
    ) -> None:
        """A state of what is in the journal, trained in the order of then."""
        state, entries = self.classifier.empty(), list[Entry]()
        for entry in journal:
            with contextlib.suppress(FeaturesError):
                change = self.classifier.train(state, entry.features, entry.label)
                entries.append(replace(entry, change=change))
        made = _kept(kept, state, journal[-1].time)
        if self.store.replace(user, made, entries, deadline):
            self.note(
                f"the filter of {user} is made anew of {len(entries)} messages in its journal"
            )


def state_of(kept: Kept) -> State:
    """The state that is kept; StateError where no classifier can go on with it."""
    state = decode(kept.state)
    if state.classifier != kept.classifier or state.classifier not in CLASSIFIERS:
        raise StateError(f"a state of {state.classifier!r}, which is not known")
    return state


def _said(classifier: Classifier, state: State, features: bytes) -> float | None:
    """The log-odds, where there is enough to say anything by."""
    score = classifier.classify(state, features)
    return None if score.verdict is Verdict.UNTRAINED else score.log_odds


def _take_back(classifier: Classifier, state: State, known: Entry) -> None:
    # What is no change any more cannot be taken back, and keeps nobody from training.
    with contextlib.suppress(StateError):
        classifier.undo(state, known.change)


def _kept(before: Kept, state: State, now: float) -> Kept:
    return replace(
        before,
        classifier=state.classifier,
        state=state.encode(),
        ham=state.ham,
        spam=state.spam,
        time=now,
    )
