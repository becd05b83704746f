"""What can be asked of the daemon: each verb with the function that does it.

`run` gets the learner, the request with its input, and a deadline; it returns what is told to who
waits. It may be called twice for one request, when the process died in it, and has to do it once.
RefusedError is for what will never be done; a StoreError or DirectoryUnavailable is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from iems.serve.deadline import Deadline
from lmtp.bayes.exchange import LARGEST
from lmtp.bayes.tokens import MAX_MESSAGE
from lmtp.learning.intent import of_append, of_label, of_move, of_reply
from lmtp.learning.keeping import put_back, reset, undo
from lmtp.learning.learner import SOURCES, Learner, RefusedError
from lmtp.learning.protocol import Answer
from lmtp.learning.queue import Kept

Run: TypeAlias = Callable[[Learner, Kept, Deadline], Answer]


@dataclass(frozen=True, slots=True)
class Verb:
    """How a request is carried out; `limit` is how many bytes of its input are kept.

    Who asks is answered once it is on disk, or with `waits` once it is done. Of a longer input the
    head is taken, unless that is not enough.
    """

    run: Run
    limit: int = MAX_MESSAGE
    waits: bool = False
    head_is_enough: bool = True


def _move(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    return learner.learn(kept, of_move(kept.request), "move", deadline)


def _append(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    return learner.learn(kept, of_append(kept.request), "append", deadline)


def _flag(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    return learner.learn(kept, of_label(kept.request), "flag", deadline)


def _reply(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    intent = of_reply() if learner.replies else None
    return learner.learn(kept, intent, "reply", deadline)


def _train(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    source = kept.request.options.get("source", "")
    intent = of_label(kept.request)
    if intent is None or source not in SOURCES:
        raise RefusedError("train takes a label and a source that are known")
    return learner.learn(kept, intent, source, deadline)


def _hello(_learner: Learner, _kept: Kept, _deadline: Deadline) -> Answer:
    return Answer(True)


VERBS: Mapping[str, Verb] = {
    "hello": Verb(_hello, limit=0),
    "move": Verb(_move),
    "append": Verb(_append),
    "flag": Verb(_flag),
    "reply": Verb(_reply),
    "train": Verb(_train),
    "undo": Verb(undo, 0, waits=True),
    "reset": Verb(reset, 0, waits=True),
    "import": Verb(put_back, LARGEST, waits=True, head_is_enough=False),
}
