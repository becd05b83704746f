"""Whether a message that is moved into Junk still trains: tried daily with one of our own.

A message goes into the INBOX of a mailbox that nobody reads, is moved into Junk by IMAP MOVE, as a
mail program does it, and has to be in the journal of that user soon after: then Dovecot's script,
the socket, the queue and the store work. Then it is taken back and deleted, so that it teaches
nobody. What a run leaves that was killed, the next one takes away. Where there is other mail in the
mailbox nothing is touched: somebody uses it.

It is tried after each start, daily, and again soon where it fails. That it fails twice in a row is
seen in `iems status`, and `tell` writes to postmaster; the first time Dovecot may be on its way up.
"""

from __future__ import annotations

import email.utils
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from iems.codec.printable import printable
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from lmtp.bayes.score import Label
from lmtp.bayes.store import Store, StoreError
from lmtp.bayes.tokens import key
from lmtp.bayes.training import Trainer
from lmtp.learning.mailbox import INBOX, Mailbox, MailboxError, Master, junk, opened

NAME = "training by IMAP"
"""Among the servers of `iems status`."""

NOTICE = "training-broken"
INTERVAL = 600.0
"""Seconds until it is tried again where it fails."""

DAY = 86400.0
WAIT = 20.0
"""Seconds in which it has to be trained; it takes less than one, and Dovecot tries for 4."""

_SUBJECT = "canary of iems-bayes"
_LOOK = 0.2
_SECONDS = 20.0
"""For one thing that the store is asked."""


class CanaryError(Exception):
    """It does not train; the message says how far it came."""


@dataclass
class Canary:
    """The job; `user` is whose mailbox it is, `trainer` takes back what it has taught."""

    master: Master
    user: Address
    store: Store
    trainer: Trainer
    meter: Meter
    tell: Callable[[Mapping[str, str]], None]
    log: Log
    clock: Callable[[], float] = time.monotonic
    wait: float = WAIT
    _next: float = field(default=0.0, init=False)
    _failed: bool = field(default=False, init=False)

    def run(self, deadline: Deadline) -> None:
        """Try it, if it is time to."""
        if self.clock() < self._next:
            return
        why = self._tried(deadline)
        if why:
            self.log.warning("a moved message does not train", user=self.user, why=why)
        if not why or self._failed:
            self.meter.level("backend_up", float(not why), backend=NAME)
        self._failed = bool(why)
        self._next = self.clock() + (0.0 if why else DAY)
        self.tell({NAME: why})

    def _tried(self, deadline: Deadline) -> str:
        """Why it does not train; empty where it does."""
        try:
            with opened(self.master, self.user, deadline) as mailbox:
                folder = junk(mailbox, mailbox.folders())
                self._clean(mailbox, folder, deadline)
                try:
                    self._moved(mailbox, folder, deadline)
                finally:
                    self._clean(mailbox, folder, deadline)
        except (MailboxError, StoreError, CanaryError) as error:
            return printable(str(error))
        return ""

    def _clean(self, mailbox: Mailbox, folder: bytes, deadline: Deadline) -> None:
        """Nothing is in the mailbox, and nothing in the filter."""
        for one in (INBOX, folder):
            mailbox.select(one)
            if mailbox.search("NOT", "SUBJECT", f'"{_SUBJECT}"'):
                raise CanaryError("other mail is in its mailbox, which nobody may use")
        for one in (INBOX, folder):
            mailbox.select(one)
            for uid in mailbox.search("SUBJECT", f'"{_SUBJECT}"'):
                mailbox.delete(uid)
        for entry in self.store.journal(self.user.key, deadline.sooner(_SECONDS)):
            self.trainer.undo(self.user.key, entry.key, deadline.sooner(_SECONDS))

    def _moved(self, mailbox: Mailbox, folder: bytes, deadline: Deadline) -> None:
        message = _message(self.user)
        mailbox.append(INBOX, message)
        mailbox.select(INBOX)
        for uid in mailbox.search("SUBJECT", f'"{_SUBJECT}"'):
            mailbox.move(uid, folder)
        self._wait(key(message), deadline.sooner(self.wait))

    def _wait(self, name: bytes, deadline: Deadline) -> None:
        """Until it is trained as spam."""
        while True:
            entry = self.store.entry(self.user.key, name, deadline.sooner(_SECONDS))
            if entry is not None and entry.label is Label.SPAM and entry.source == "move":
                return
            if deadline.expired:
                raise CanaryError(f"not trained {self.wait:.0f} s after it was moved into Junk")
            time.sleep(_LOOK)


def _message(user: Address) -> bytes:
    lines = [
        f"From: <{user}>",
        f"To: <{user}>",
        f"Subject: {_SUBJECT}",
        f"Date: {email.utils.formatdate()}",
        f"Message-ID: <{secrets.token_hex(12)}@{user.domain}>",
        "Auto-Submitted: auto-generated",
        "",
        "This message proves that what is moved into Junk trains. It is deleted at once.",
        "",
    ]
    return "\r\n".join(lines).encode()
