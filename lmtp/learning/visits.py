"""The jobs of the daemon that go into users' mailboxes: the sweep, and the canary."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from iems.notices.outages import Outages
from iems.notices.postmaster import Notifier
from iems.serve.jobs import Job
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.judging import judging
from iems.settings.schema import Settings
from lmtp.bayes.store import Store
from lmtp.bayes.training import Trainer
from lmtp.learning import canary
from lmtp.learning.canary import Canary
from lmtp.learning.mailbox import Master
from lmtp.learning.people import filtered
from lmtp.learning.protocol import ask
from lmtp.learning.sweep import Sweep
from lmtp.trained import classifier


def visits(
    settings: Settings, store: Store, postmaster: Notifier, meter: Meter, log: Log
) -> Sequence[Job]:
    """Those of a site whose mail is judged; none without the password of the master user."""
    own = settings.bayes
    if judging(settings.checks) is None or not (own.sweep or own.canary):
        return ()
    try:
        password = own.master_password_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        log.warning("no mailbox is looked into", file=own.master_password_file, error=error)
        return ()
    host, _colon, port = own.imap.rpartition(":")
    master = Master(host.strip("[]"), int(port), own.master, password)
    jobs = []
    if own.sweep:
        asking = functools.partial(ask, own.socket)
        sweep = Sweep(master, filtered(settings), asking, own.store / "sweep.json", log)
        jobs.append(Job("sweep", own.sweep, sweep.run))
    if own.canary:
        told = Outages(own.store / "canary.json", postmaster, log, notice=canary.NOTICE)
        trainer = Trainer(store, classifier(own), lambda why: log.error("damaged", why=why))
        tried = Canary(master, own.canary, store, trainer, meter, told.seen, log)
        jobs.append(Job("canary", canary.INTERVAL, tried.run))
    return jobs
