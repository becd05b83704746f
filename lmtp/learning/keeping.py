"""What is done to all that a user has trained, or to one message in it: `undo`, `reset`, `import`.

Whoever asks waits for it. `undo` takes the `key` of a message, 32 hexadecimal digits, and answers
with a failure where nothing is known of it. `reset` forgets what is remembered of his mail, too: he
begins anew. `import` puts what was exported (`lmtp.bayes.exchange`) in the place of all that is
kept of him.
"""

from __future__ import annotations

import re
from dataclasses import replace

from iems.serve.deadline import Deadline
from lmtp.bayes import exchange
from lmtp.bayes.store import DamagedError, StoreError
from lmtp.learning.learner import Learner, RefusedError
from lmtp.learning.protocol import Answer
from lmtp.learning.queue import Kept

_KEY = re.compile(r"[0-9a-f]{32}")
_TRIES = 20


def undo(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    """Take back what was learned of one message."""
    user, name = kept.request.user, kept.request.options.get("key", "")
    if not _KEY.fullmatch(name):
        raise RefusedError("undo takes the key of a message")
    if not learner.trainer.undo(user, bytes.fromhex(name), deadline):
        return Answer(False, "nothing is known of this message")
    learner.log.info("training taken back", user=user, key=name)
    return Answer(True, "undone")


def reset(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    """Forget the user."""
    user = kept.request.user
    trained = learner.store.forget(user, deadline)
    remembered = learner.memory.forget(user, deadline)
    learner.log.info("training forgotten", user=user)
    return Answer(True, "forgotten" if trained or remembered else "there was nothing")


def put_back(learner: Learner, kept: Kept, deadline: Deadline) -> Answer:
    """`import`."""
    user = kept.request.user
    try:
        found, entries = exchange.read(kept.input.head)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    for _ in range(_TRIES):
        try:
            number = learner.store.load(user, deadline).number
        except DamagedError as error:
            number = error.number
        if learner.store.replace(user, replace(found, number=number), entries, deadline):
            learner.log.info("training imported", user=user, ham=found.ham, spam=found.spam)
            return Answer(True, f"{found.ham} ham, {found.spam} spam")
    raise StoreError(f"{user}: others train at the same time")
