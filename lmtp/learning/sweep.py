"""What users have put into Train/Spam and Train/Ham, and what could not be trained when it was
moved: a job that goes through their mailboxes, one user after the other.

A message in Train/Spam is trained as spam and moved to Junk, one in Train/Ham as ham and moved to
INBOX, once the daemon has it on disk: nothing is lost, and what is trained twice is known by its
key. Where the daemon could not be asked when a message was moved, the script of Dovecot has left a
keyword on it (`LEFT`); for those all folders are looked through, in the first round after a start
and once a day, since it costs more.

A run ends by its deadline and the next one goes on behind the last user, over restarts too, and
behind the user with whom a run was killed. One user's mailbox that cannot be opened is told in the
log and keeps nobody else from his turn; many in a row end the run, and so does a server that is
away.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from iems.codec.printable import printable
from iems.directory.reader import DirectoryUnavailable
from iems.model.address import Address
from iems.serve.deadline import Deadline
from lmtp.bayes.tokens import MAX_MESSAGE
from lmtp.learning.mailbox import (
    INBOX,
    MOST,
    Folder,
    Mailbox,
    MailboxError,
    Master,
    ServerError,
    junk,
    opened,
)
from lmtp.learning.protocol import Answer, PeerError, Request

TRAIN = b"Train"
SPAM, HAM = "spam", "ham"
FOLDERS = {b"Spam": SPAM, b"Ham": HAM}
"""Below `Train`, where the user's own folders begin, or in INBOX: what a message in each is."""

LEFT: Mapping[str, str] = {"$IEMSSpam": SPAM, "$IEMSHam": HAM}
"""Keywords on messages that are still to be trained."""

_USER = 60.0
"""Seconds for one user."""

_ANSWER = 10.0
"""Seconds for the daemon to put one message on disk."""

_FAILURES = 10
"""Mailboxes in a row that could not be opened: then it is the server."""

_DAY = 86400.0
_VERSION = 1


class Reporter(Protocol):
    """Who writes the log."""

    def info(self, text: str, **fields: object) -> None:
        """One line."""
        ...

    def warning(self, text: str, **fields: object) -> None:
        """One line."""
        ...


@dataclass
class Round:
    """How far the users are: those up to `after` have had their turn; `full` looks for keywords."""

    after: str = ""
    full: bool = True


class RefusedError(Exception):
    """The daemon does not train for this user; the message says why."""


@dataclass
class Sweep:
    """The job; `users` are those with a filter, `ask` asks the daemon, `file` is the job's own."""

    master: Master
    users: Callable[[Deadline], Iterable[Address]]
    ask: Callable[[Request, bytes, Deadline], Answer]
    file: Path
    log: Reporter
    clock: Callable[[], float] = time.monotonic
    most: int = MOST
    """Messages of one folder in one run: each takes some ms, and others are waiting."""

    _full_since: float = field(default=-math.inf, init=False)
    """When the last full round began; never, where the process has begun none."""

    def run(self, deadline: Deadline) -> None:
        """As many users as there is time for."""
        place = _read(self.file)
        try:
            everybody = sorted(self.users(deadline), key=lambda one: one.key)
        except DirectoryUnavailable as error:
            self.log.warning("sweep waits for the directory", error=printable(str(error)))
            return
        if not place.after:
            place.full = self.clock() - self._full_since >= _DAY
            self._full_since = self.clock() if place.full else self._full_since
        trained = self._through(
            [one for one in everybody if one.key > place.after], place, deadline
        )
        _write(self.file, place)
        if trained:
            self.log.info("swept", trained=trained)

    def _through(self, users: Collection[Address], place: Round, deadline: Deadline) -> int:
        """Each of these in turn; how many messages were given to the daemon."""
        trained = failures = 0
        for user in users:
            if deadline.expired or failures == _FAILURES:
                return trained
            # Were it killed with a user who takes too long, it would never get behind him.
            _write(self.file, Round(user.key, place.full))
            try:
                with opened(self.master, user, deadline.sooner(_USER)) as mailbox:
                    trained += self._user(user, mailbox, place.full, deadline.sooner(_USER))
                failures = 0
            except (PeerError, ServerError) as error:
                self.log.warning("sweep waits", error=printable(str(error)))
                return trained
            except (MailboxError, RefusedError) as error:
                failures += isinstance(error, MailboxError)
                self.log.warning("mailbox not swept", user=user, error=printable(str(error)))
            place.after = user.key
        place.after = ""
        return trained

    def _user(self, user: Address, mailbox: Mailbox, full: bool, deadline: Deadline) -> int:
        folders = mailbox.folders()
        names = {folder.name for folder in folders}
        trained = 0
        for (top, delimiter), (name, label) in itertools.product(mailbox.tops(), FOLDERS.items()):
            folder = top + delimiter.join((TRAIN, name))
            if folder in names:
                target = junk(mailbox, folders) if label == SPAM else INBOX
                trained += self._folder(user, mailbox, folder, label, target, deadline)
        return trained + (self._everywhere(user, mailbox, folders, deadline) if full else 0)

    def _everywhere(
        self, user: Address, mailbox: Mailbox, folders: Iterable[Folder], deadline: Deadline
    ) -> int:
        """What was left in any of the folders; a broken one is told when all others are done."""
        trained, failed = 0, None
        for folder in folders:
            if deadline.expired:
                break
            try:
                trained += self._left(user, mailbox, folder.name, deadline)
            except MailboxError as error:
                failed = error
        if failed is not None:
            raise failed
        return trained

    def _folder(
        self,
        user: Address,
        mailbox: Mailbox,
        folder: bytes,
        label: str,
        target: bytes,
        deadline: Deadline,
    ) -> int:
        """Train what is in it, and move it away."""
        mailbox.select(folder)
        trained = 0
        for uid in mailbox.search("UNDELETED", most=self.most):
            if deadline.expired:
                break
            if self._trained(user, mailbox, uid, label, deadline):
                mailbox.move(uid, target)
                trained += 1
        return trained

    def _left(self, user: Address, mailbox: Mailbox, folder: bytes, deadline: Deadline) -> int:
        """Train what has a keyword, and take it away."""
        # Selecting it would take from new messages that they are.
        mailbox.examine(folder)
        left = {word: mailbox.search("UNDELETED", "KEYWORD", word, most=self.most) for word in LEFT}
        if not any(left.values()):
            return 0
        mailbox.select(folder)
        trained = 0
        for keyword, label in LEFT.items():
            for uid in left[keyword]:
                if deadline.expired:
                    return trained
                if self._trained(user, mailbox, uid, label, deadline):
                    mailbox.forget(uid, keyword)
                    trained += 1
        return trained

    def _trained(
        self, user: Address, mailbox: Mailbox, uid: int, label: str, deadline: Deadline
    ) -> bool:
        """Whether the daemon has it on disk; not where it has gone meanwhile."""
        message = mailbox.fetch(uid, MAX_MESSAGE)
        if message is None:
            return False
        wanted = Request("train", user.key, {"label": label, "source": "sweep"})
        answer = self.ask(wanted, message, deadline.sooner(_ANSWER))
        if not answer.done:
            raise RefusedError(answer.text)
        return True


def _read(file: Path) -> Round:
    """From the beginning where there is no file that can be read."""
    try:
        document: Any = json.loads(file.read_text())
        if document["version"] != _VERSION:
            return Round()
        return Round(str(document["after"]), bool(document["full"]))
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return Round()


def _write(file: Path, place: Round) -> None:
    document = {"version": _VERSION, "after": place.after, "full": place.full}
    draft = file.with_name(file.name + ".new")
    draft.write_text(json.dumps(document) + "\n")
    draft.replace(file)
