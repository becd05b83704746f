"""`iems-bayes`: what users train by, from a socket to the store.

One worker takes requests into a queue on disk and carries them out, in threads. Nothing is opened
before the fork. It reads the directory as the agent does.
"""

from __future__ import annotations

import functools
import socket as sockets
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iems.directory.connect import connect, unavailable
from iems.directory.reader import Directory, user_of
from iems.model.address import Address, AddressError
from iems.notices import outages
from iems.notices.postmaster import Postmaster
from iems.serve.backends import Question, backends
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.program import run
from iems.serve.supervisor import Control, Job
from iems.settings.bayes import OFF, BayesSettings
from iems.settings.judging import judging
from iems.settings.load import read_files
from iems.settings.policy import Mode
from iems.settings.schema import Settings
from lmtp import trained
from lmtp.bayes.store import Store
from lmtp.bayes.training import Trainer
from lmtp.learning import expiry, mending
from lmtp.learning.learner import Learner
from lmtp.learning.queue import Queue
from lmtp.learning.server import Server
from lmtp.learning.visits import visits
from lmtp.learning.worker import Worker
from lmtp.trained import classifier, connect_memory, connect_store

NAME = "iems-bayes"
_END = 10.0
"""Seconds for the request that is being carried out when the process ends."""


def main(argv: list[str] | None = None) -> int:
    """Run the daemon; exit status 78 for wrong settings, 69 if the socket is taken."""
    return run(NAME, "The training daemon of IEMS.", TrainingService, argv)


@dataclass(frozen=True)
class TrainingService:
    """The daemon as its supervisor sees it."""

    settings_file: Path
    name: str = NAME

    def prepare(self) -> TrainingGeneration:
        """Load and check all that the worker will need."""
        written = read_files(self.settings_file)
        settings = written.settings
        # Before all else: what changes meanwhile is then another one, and not overlooked.
        fingerprint = written.fingerprint(settings.bayes)
        judging(settings.checks)
        connect_store(settings.bayes)
        generation = TrainingGeneration(settings, fingerprint)
        generation.directory(lambda _note: None)
        return generation


@dataclass(frozen=True)
class TrainingGeneration:
    """One set of settings, and what the worker does with it."""

    settings: Settings
    fingerprint: str

    @property
    def daemon(self) -> BayesSettings:
        """What concerns the supervisor."""
        return self.settings.bayes

    def work(self, listener: sockets.socket, control: Control, log: Log) -> None:
        """Take requests and carry them out until told to drain."""
        own = self.settings.bayes
        store = connect_store(own, lambda why: log.error("the store fails", why=why))
        memory = connect_memory(own, lambda why: log.error("the memory fails", why=why))
        directory = self.directory(lambda note: log.warning("directory entry", note=note))
        learner = Learner(
            store,
            self.trainer(store, log),
            memory,
            self.wanted(directory),
            log,
            control.meter,
            own.max_message,
            own.replies,
        )
        queue = Queue(own.queue)
        worker = Worker(queue, learner, log, control)
        thread = threading.Thread(target=worker.run, name="worker", daemon=True)
        thread.start()
        # Requests that nobody would carry out are not taken: the supervisor starts another process.
        control.alive = lambda: thread.is_alive() or control.draining.is_set()
        Server(queue, worker, log, control).serve(listener)
        worker.wake()
        thread.join(min(control.limit, _END))
        memory.close()
        store.close()

    def jobs(self, control: Control, log: Log) -> Sequence[Job]:
        """A look at what it stands on, and what is old."""
        settings, own = self.settings, self.settings.bayes
        directory = self.directory(lambda note: log.warning("directory entry", note=note))
        questions: dict[str, Question] = {
            "directory": lambda deadline: unavailable(directory, settings.hostname, deadline)
        }
        postmaster = Postmaster(settings.postmaster, settings.hostname, settings.notices.smtp)
        told = outages.Outages(
            own.store / "outages.json", replace(postmaster, timeout=outages.TIMEOUT), log
        )
        store = connect_store(own)
        questions["filters"] = functools.partial(trained.unavailable, store)
        return (
            backends(questions, control.meter, log, told.seen),
            expiry.of_filter(own, store, connect_memory(own), log),
            mending.of_filters(self.trainer(store, log)),
            *visits(settings, store, postmaster, control.meter, log),
        )

    def trainer(self, store: Store, log: Log) -> Trainer:
        """Who trains and mends."""
        own = self.settings.bayes
        return Trainer(store, classifier(own), lambda why: log.error("a state is damaged", why=why))

    def wanted(self, directory: Directory) -> Callable[[str, Deadline], bool]:
        """Who trains: users whose filter is not off."""
        told = judging(self.settings.checks)

        def wanted(name: str, deadline: Deadline) -> bool:
            try:
                address = Address.parse(name)
            except AddressError:
                return False
            user = user_of(directory.find([address], deadline).get(address.key))
            if told is None or user is None:
                return False
            mode, _options = told
            return mode is Mode.ENFORCE or (user.bayes or self.settings.bayes.default) != OFF

        return wanted

    def directory(self, note: Callable[[str], None]) -> Directory:
        """The directory; SettingsError where its file or password cannot be used."""
        own = self.settings.agent
        return connect(self.settings.directory, own.ldap_dn, own.ldap_password_file, note)


if __name__ == "__main__":
    sys.exit(main())
