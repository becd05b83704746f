"""The filter's store and memory, as the settings of a site name them.

Nothing is opened until it is used. Made in each process anew, after the fork.
"""

from __future__ import annotations

from collections.abc import Callable

from iems.serve.deadline import Deadline
from iems.settings.bayes import BayesSettings
from iems.store.shared import client
from lmtp.bayes import memory, sqlitestore
from lmtp.bayes.classifier import CLASSIFIERS, Classifier
from lmtp.bayes.memory import Memory
from lmtp.bayes.redisstore import RedisStore
from lmtp.bayes.sqlitestore import SqliteStore
from lmtp.bayes.store import Limits, Store, StoreError

_PROBE = "probe"
"""No address, and so nobody's."""


def connect_store(
    settings: BayesSettings, note: Callable[[str], None] = lambda _why: None
) -> Store:
    """What users have trained; `note` is told why it cannot be used. SettingsError without a
    password."""
    limits = Limits(days=settings.journal)
    if settings.shared:
        server = str(settings.server)
        return RedisStore(client(settings), server, settings.prefix, limits, note)
    return SqliteStore(settings.store / sqlitestore.FILE, limits, note)


def unavailable(store: Store, deadline: Deadline) -> str:
    """Why what users have trained cannot be read now; empty where it can."""
    try:
        store.load(_PROBE, deadline)
    except StoreError as error:
        return str(error)
    return ""


def connect_memory(
    settings: BayesSettings, note: Callable[[str], None] = lambda _why: None
) -> Memory:
    """What this machine's agent remembers of messages."""
    return Memory(settings.store / memory.FILE, note)


def classifier(settings: BayesSettings) -> Classifier:
    """What judges for who begins to train."""
    return CLASSIFIERS[settings.classifier]
