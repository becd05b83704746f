"""Notices of viruses to postmaster, recipients and senders of ours: a job of the milter.

Whom the matrix names is written down by the workers (`iems.store.owed`). Each person is told within
seconds, and after that once an hour at most, of all that has come meanwhile; nobody twice of the
same message. Of a wave only so many people are told an hour; the others follow.

Where directory or mail server do not answer, the notices wait; one that the mail server refuses for
good is dropped, and so is what is for an account that takes no mail. After a week nobody is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from iems.directory.reader import Directory, DirectoryUnavailable, User, user_of
from iems.model.address import Address
from iems.notices.digest import Sender
from iems.notices.letter import Item, Letter, Section, language_of, texts
from iems.notices.postmaster import NoticeError, NoticeRefusedError, Reporter
from iems.serve.deadline import Deadline
from iems.store.owed import Event, Owed

NOTICE = "virus"
RECEIVED, SENT, PASSED = "received", "sent", "passed"
"""What a person has to do with a message: it was to him, by him, or through his server."""

INTERVAL = 5.0
"""Seconds between two looks."""

TIMEOUT = 3.0
"""Seconds that the mail server may be silent: a notice begun in the last moment of a run ends, and
is kept, before the job counts as hung (`iems.serve.jobs`)."""

HOUR = 3600.0
MOST = 1000
"""Persons who are told within an hour."""

_BATCH = 100
"""Persons of one run, and of one question to the directory."""

_WEEK = 7 * 24 * HOUR


@dataclass(frozen=True)
class VirusNotices:
    """The job; `language` is for who prefers none that we have, and for postmaster."""

    file: Path
    postmaster: Address
    language: str
    host: str
    directory: Directory
    sender: Sender
    log: Reporter
    clock: Callable[[], float] = time.time

    def run(self, deadline: Deadline) -> None:
        """Tell whoever is due; OwedError where nobody can know that."""
        now = self.clock()
        with closing(Owed(self.file)) as owed:
            owed.forget(now - _WEEK, now - HOUR)
            most = min(_BATCH, MOST - owed.told(now - HOUR, now))
            due = owed.due(now - HOUR, now, most) if most > 0 else []
            try:
                users = self._users(due, deadline)
            except DirectoryUnavailable as error:
                self.log.warning("notices wait for the directory", notice=NOTICE, error=str(error))
                return
            for person in due:
                if deadline.expired or not self._told(person, users, owed, now):
                    return

    def _users(self, persons: Sequence[str], deadline: Deadline) -> Mapping[str, User]:
        """Those who take mail."""
        asked = [Address.parse(one) for one in persons if one != self.postmaster.key]
        found = self.directory.find(asked, deadline) if asked else {}
        users = {key: user_of(entry) for key, entry in found.items()}
        return {key: one for key, one in users.items() if one and not one.refusal}

    def _told(self, person: str, users: Mapping[str, User], owed: Owed, now: float) -> bool:
        """Whether he is done with: told, or not to be told."""
        user = users.get(person)
        events, more = owed.take(person, now)
        if user is None and person != self.postmaster.key:
            return True
        to = user.address if user else self.postmaster
        language = language_of(user.language if user else "", self.language)
        try:
            self.sender.send(to, self._letter(to, events, more, language).message(language))
        except NoticeError as error:
            self.log.warning("notice not sent", notice=NOTICE, to=to, error=str(error))
            if not isinstance(error, NoticeRefusedError):
                owed.give_back(person, events, more)
                return False
        return True

    def _letter(self, to: Address, events: Sequence[Event], more: int, language: str) -> Letter:
        words = texts(language, NOTICE)
        told = {one.role for one in events}
        roles = [role for role in (RECEIVED, SENT, PASSED) if role in told]
        sections = [
            Section(
                role,
                [_item(one, words) for one in events if one.role == role],
                more if role == roles[-1] else 0,
            )
            for role in roles
        ]
        return Letter(str(to), self.host, time.strftime("%Z"), "", sections, NOTICE)


def _item(event: Event, words: Mapping[str, str]) -> Item:
    return Item(
        time=time.strftime("%Y-%m-%d %H:%M", time.localtime(event.time)),
        sender=event.sender,
        why=f"{event.virus}: {words[event.done]}",
        subject=event.subject,
        recipients=event.recipients,
        reference=event.reference,
    )
