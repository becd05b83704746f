"""Filters whose state is damaged are mended where their users train nothing: a job of the daemon.

Training mends a state that it meets; a user who corrects nothing would have no filter until then.
"""

from __future__ import annotations

from iems.serve.deadline import Deadline
from iems.serve.jobs import Job
from lmtp.bayes.store import StoreError
from lmtp.bayes.training import Trainer

_INTERVAL = 3600.0
"""Seconds; to look at a thousand states takes some 0.3 s."""

_ROUND = 240.0
"""Seconds of one run, well below those after which it would count as hung."""


def of_filters(trainer: Trainer) -> Job:
    """The job; what it mends is told as training tells it. Who cannot be mended keeps nobody."""

    def run(deadline: Deadline) -> None:
        end, failed = deadline.sooner(_ROUND), None
        for user in trainer.store.users(end):
            if end.expired:
                break
            try:
                trainer.mend(user, end)
            except StoreError as error:
                failed = error
        if failed is not None:
            raise failed

    return Job("mending", _INTERVAL, run)
