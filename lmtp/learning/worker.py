"""Carries out what is in the queue: one request after the other, those of each user in their order.

What cannot be done now, since the store or the directory does not answer, stays in the queue, and
so does all that its user asked for later; it is tried again after 1 s, and at last after 60. What
fails for another reason is told, tried again, and set aside after some times. Only one process
works at a time; the worker of a new generation waits for that of the old one.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from iems.directory.reader import DirectoryUnavailable
from iems.serve.control import Control
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from lmtp.bayes.store import StoreError
from lmtp.learning.learner import Learner, RefusedError
from lmtp.learning.protocol import LATER, Answer
from lmtp.learning.queue import TRIES, Entry, Kept, Queue
from lmtp.learning.verbs import VERBS

_LIMIT = 30.0
"""Seconds for one request: some hundred times what it takes, and most of it for a busy store."""

_FIRST, _LONGEST = 1.0, 60.0
"""Seconds until what could not be done is tried again."""

_SOON = 0.01
_LOOK = 1.0
"""Seconds between two looks for requests that another process has taken."""


class Outcome:
    """What becomes of one request, for who waits for it."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self._answer = Answer(True, LATER)

    def set(self, answer: Answer) -> None:
        """It is this."""
        self._answer = answer
        self._known.set()

    def answer(self, seconds: float) -> Answer:
        """What it is by then."""
        self._known.wait(seconds)
        return self._answer


@dataclass(frozen=True, slots=True)
class _Pause:
    """Until when the requests of a user wait, and how long they did."""

    until: float
    seconds: float


class Worker:
    """The thread that works; `learner` knows how."""

    def __init__(
        self,
        queue: Queue,
        learner: Learner,
        log: Log,
        control: Control,
        first_pause: float = _FIRST,
    ) -> None:
        self._queue = queue
        self._learner = learner
        self._log = log
        self._control = control
        self._first_pause = first_pause
        self._woken = threading.Event()
        self._outcomes: dict[str, Outcome] = {}
        self._pauses: dict[str, _Pause] = {}

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    @contextlib.contextmanager
    def outcome(self, entry: Entry) -> Iterator[Outcome]:
        """What becomes of a request, to be asked for before it is put into the queue."""
        outcome = self._outcomes[entry.order] = Outcome()
        try:
            yield outcome
        finally:
            del self._outcomes[entry.order]

    def run(self) -> None:
        """Work until the process drains."""
        while not self._control.draining.is_set():
            with self._queue.working() as mine:
                while mine and not self._control.draining.is_set():
                    self._woken.clear()
                    self._woken.wait(self._round_or_failure())
            self._control.draining.wait(_LOOK)

    def _round_or_failure(self) -> float:
        """All that can be done now; seconds until the next look."""
        try:
            self._round()
        except OSError as error:
            self._log.error("the queue cannot be used", why=error)
            return self._first_pause
        return self._until_next()

    def _round(self) -> None:
        """All that can be done now."""
        entries = self._queue.entries()
        self._control.meter.level("training_queue", len(entries))
        whose = {entry.whose for entry in entries}
        self._pauses = {one: pause for one, pause in self._pauses.items() if one in whose}
        for entry in entries:
            if self._control.draining.is_set():
                return
            pause = self._pauses.get(entry.whose)
            if pause is None or pause.until <= time.monotonic():
                self._work(entry)

    def _until_next(self) -> float:
        """Seconds until there may be something to do that nobody tells of."""
        next_try = min((pause.until for pause in self._pauses.values()), default=math.inf)
        return min(max(next_try - time.monotonic(), _SOON), _LOOK)

    def _work(self, entry: Entry) -> None:
        if entry.tries >= TRIES:
            self._set_aside(entry, f"failed {TRIES} times")
            return
        begun = self._queue.begin(entry)
        try:
            kept = self._queue.read(begun)
        except ValueError as error:
            self._set_aside(begun, str(error))
            return
        try:
            answer = self._carried_out(kept)
        except (StoreError, DirectoryUnavailable) as error:
            self._queue.later(begun)
            self._pause(entry, kept, str(error))
        except Exception as error:  # noqa: BLE001 - what is asked must not be lost, nor stop the rest
            self._log.failure("training failed", error, verb=kept.request.verb)
            self._pause(entry, kept, "failed")
        else:
            self._pauses.pop(entry.whose, None)
            self._queue.done(begun)
            self._tell(entry, answer)

    def _carried_out(self, kept: Kept) -> Answer:
        request = kept.request
        verb = VERBS.get(request.verb)
        if verb is None:
            raise ValueError(f"a verb that is not known: {request.verb}")
        try:
            return verb.run(self._learner, kept, Deadline.after(_LIMIT))
        except RefusedError as error:
            self._log.warning("not done", verb=request.verb, user=request.user, why=error)
            return Answer(False, str(error))

    def _pause(self, entry: Entry, kept: Kept, why: str) -> None:
        before = self._pauses.get(entry.whose)
        seconds = min(before.seconds * 2, _LONGEST) if before else self._first_pause
        self._pauses[entry.whose] = _Pause(time.monotonic() + seconds, seconds)
        self._log.warning("training waits", user=kept.request.user, why=why, seconds=seconds)
        self._tell(entry, Answer(True, f"{LATER}: {why}"))

    def _set_aside(self, entry: Entry, why: str) -> None:
        self._log.error("a request is set aside", request=entry.order, why=why)
        self._queue.set_aside(entry)
        self._tell(entry, Answer(False, f"set aside: {why}"))

    def _tell(self, entry: Entry, answer: Answer) -> None:
        outcome = self._outcomes.get(entry.order)
        if outcome is not None:
            outcome.set(answer)
