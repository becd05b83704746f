"""One training: whether the user wants any, what is remembered of the message, and what is learned.

Features are those that the agent remembered when it classified the message, if it did; else the
message is taken apart now, without what was added to it on its way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from lmtp.bayes.memory import Memory, Seen
from lmtp.bayes.score import Label, Verdict
from lmtp.bayes.store import DamagedError, Entry, Store, StoreError
from lmtp.bayes.tokens import BODY, key, message_id, tokens
from lmtp.bayes.training import Trainer
from lmtp.learning.intent import Intent, Provided
from lmtp.learning.protocol import Answer
from lmtp.learning.queue import Kept

SOURCES = frozenset({"move", "append", "flag", "sweep", "canary", "forward", "reply", "command"})
"""The ways in which a user says what a message is."""


class RefusedError(Exception):
    """It will never be done; why."""


@dataclass(frozen=True)
class Learner:
    """What training needs; `wanted` is whether there is such a user and his filter is not off.

    `wanted` raises DirectoryUnavailable, everything else StoreError.
    """

    store: Store
    trainer: Trainer
    memory: Memory
    wanted: Callable[[str, Deadline], bool]
    log: Log
    meter: Meter
    max_message: int = BODY
    replies: bool = False
    """Whether what is answered is ham."""

    clock: Callable[[], float] = time.time

    def learn(self, kept: Kept, intent: Intent | None, source: str, deadline: Deadline) -> Answer:
        """Train a message as what its user says it is."""
        user, message = kept.request.user, kept.input.head
        why = "it says nothing" if intent is None else ""
        if not why and not self.wanted(user, deadline):
            why = "off"
        if intent is None or why:
            return self._told(user, source, "", f"not trained: {why}")
        name = key(message)
        salt = self._salt(user, deadline)
        if not self._provided(user, name, message, intent.provided, salt, deadline):
            unsaid = intent.provided is Provided.UNSAID
            why = "known already" if unsaid else "not trained: not known here"
            return self._told(user, source, intent.label.value, why)
        seen = self._seen(user, name, salt, deadline)
        said = seen is not None and seen.score.verdict is not Verdict.UNTRAINED
        entry = Entry(
            key=name,
            label=intent.label,
            time=self.clock(),
            source=source,
            score=seen.score.log_odds if seen and said else None,
            features=seen.features
            if seen and seen.features
            else self.trainer.classifier.features(tokens(message, self.max_message), salt),
        )
        done = self.trainer.learn(user, entry, deadline)
        return self._told(user, source, intent.label.value, done.value)

    def _told(self, user: str, source: str, label: str, done: str) -> Answer:
        self.log.info("training", user=user, source=source, label=label, done=done)
        self.meter.count("training_total", source=source, label=label, done=done.partition(":")[0])
        return Answer(True, done)

    def _salt(self, user: str, deadline: Deadline) -> bytes:
        """What his messages are hashed with; what is damaged of his is mended first."""
        try:
            return self.store.load(user, deadline).salt
        except DamagedError:
            self.trainer.mend(user, deadline)
            return self.store.load(user, deadline).salt

    def _seen(self, user: str, name: bytes, salt: bytes, deadline: Deadline) -> Seen | None:
        """What is remembered of it; what cannot be read is as good as forgotten."""
        with contextlib.suppress(StoreError):
            return self.memory.recall(user, name, salt, deadline)
        return None

    def _provided(
        self,
        user: str,
        name: bytes,
        message: bytes,
        provided: Provided,
        salt: bytes,
        deadline: Deadline,
    ) -> bool:
        match provided:
            case Provided.NOTHING:
                return True
            case Provided.DELIVERED:
                known = message_id(message)
                return bool(known) and self.memory.delivered(user, known, deadline)
            case Provided.UNSAID:
                return self.store.entry(user, name, deadline) is None
            case Provided.WAS_SPAM:
                trained = self.store.entry(user, name, deadline)
                if trained is not None:
                    return trained.label is Label.SPAM
                seen = self.memory.recall(user, name, salt, deadline)
                return seen is not None and seen.junk
