"""The daily digest to each user of what did not reach his INBOX: a job of the agent.

It starts from the records of both daemons, so nobody is asked about who has nothing to be told.
What is new comes into a file every few minutes (`iems.store.digest`), and once a day, at an hour
of the site, each user of whom something stands there gets one mail. A run that is late, cut short
or killed is taken up by the next one: nothing is told twice, and nothing is left out.

Of what came before the first run, and of what is older than a week, nobody is told. Where
directory or mail server do not answer, the digests wait; a digest that the mail server refuses for
good is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

from iems.codec.encoded import decoded
from iems.codec.header import parse_header, split_message
from iems.codec.signed import digest_id, is_digest, off_address, release_address
from iems.directory.reader import Directory, DirectoryUnavailable, User, user_of
from iems.model.address import Address, AddressError
from iems.model.policy import Action, Kind
from iems.notices.letter import Item, Letter, Section, language_of
from iems.notices.postmaster import NoticeError, NoticeRefusedError, Reporter
from iems.serve.deadline import Deadline
from iems.store.digest import JUNK, KINDS, QUARANTINE, REFUSED, Digests, Event
from iems.store.held import held
from iems.store.keys import Keyring
from iems.store.quarantine import Quarantine
from iems.store.records import Record, RecordsError, every, search

INTERVAL = 600.0
"""Seconds between two runs."""

LONGEST = 7 * 86400.0
"""Seconds that are looked back at most."""

LAG = 60.0
"""Seconds after which no record of then is still to be written: a commit has 15 at most."""

MOST = 50
"""Messages of a kind that one digest tells of; how many more there are it says."""

_SLICE = INTERVAL
"""Seconds of records that are in memory at once, however late a run is."""

_ROUND = 240.0
"""Seconds after which a run begins no other digest, so that one to a slow server ends in time."""

_BATCH = 100
"""Users whom one question to the directory is about."""

_FAILURES = 10
"""Digests in a row that could not be sent: then it is the mail server."""

_HEADER = 64 << 10
"""Bytes of a stored message in which its subject is looked for."""

_SENT = "sent"


class Sender(Protocol):
    """Who sends mail to users (`iems.notices.postmaster.Postmaster`)."""

    def send(self, to: Address, message: EmailMessage) -> None:
        """Send it; NoticeError where it cannot be sent."""
        ...


@dataclass(frozen=True)
class DigestNotices:
    """The job; `hour` is that of the day on this machine, `records` are files by their daemons."""

    hour: int
    language: str
    host: str
    file: Path
    records: Mapping[str, Path]
    quarantine: Quarantine
    directory: Directory
    keyring: Keyring
    sender: Sender
    log: Reporter
    clock: Callable[[], float] = time.time

    def run(self, deadline: Deadline) -> None:
        """Take in what is new, and send what is due; DigestError where nobody can know that."""
        now = self.clock()
        due = _latest(self.hour, now)
        with closing(Digests(self.file)) as digests:
            digests.forget(now - LONGEST)
            ready = [self._gathered(name, digests, now, due, deadline) for name in self.records]
            sent = digests.reached(_SENT)
            if sent is None or sent > now:
                digests.reach(_SENT, now)
            elif sent < due and all(ready) and self._all_sent(digests, due, deadline):
                digests.reach(_SENT, due)

    def _gathered(
        self, name: str, digests: Digests, now: float, due: float, deadline: Deadline
    ) -> bool:
        """Whether all is in that this daemon has recorded before `due`, as far as can be read."""
        end, start = now - LAG, digests.reached(name)
        if start is None or start > now:
            digests.reach(name, end)
            return True
        start = max(start, now - LONGEST)
        while start < end and not deadline.expired:
            stop = min(start + _SLICE, end)
            try:
                found = self._events(self.records[name], start, stop)
            except (RecordsError, OSError) as error:
                self.log.warning("digests lack what is in records", of=name, error=str(error))
                return True
            digests.reach(name, stop, found)
            start = stop
        return start >= due

    def _events(self, path: Path, since: float, before: float) -> list[Event]:
        rows = every([path], since=since, before=before)
        return [event for event in map(self._event, rows) if event]

    def _event(self, record: Record) -> Event | None:
        """What a record tells a user; None where it tells nobody anything."""
        kind, _blank, user = record.subject.partition(" ")
        what, name = _what(record), str(record.details.get("quarantine", ""))
        if kind != Kind.USER.value or not what or is_digest(record.message_id, self._secrets()):
            return None
        return Event(user, what, record.time, record.sender, _why(record.details), name)

    def _secrets(self) -> Iterable[bytes]:
        return (key.secret for key in self.keyring.keys.values())

    def _all_sent(self, digests: Digests, due: float, deadline: Deadline) -> bool:
        """Whether everybody was told of what was before `due`."""
        end, after = deadline.sooner(_ROUND), ""
        refusing = frozenset(digests.refusing())
        failed = row = 0
        while users := digests.users(due, after, _BATCH):
            try:
                known = self._known(users, end)
            except DirectoryUnavailable as error:
                self.log.warning("digests wait for the directory", error=str(error))
                return False
            for after in users:
                if end.expired or row == _FAILURES:
                    return False
                user = known.get(after)
                if user is None or user.refusal or after in refusing:
                    digests.done(after, due)
                elif self._told(user, digests, due):
                    row = 0
                else:
                    failed, row = failed + 1, row + 1
        return not failed

    def _known(self, users: Iterable[str], deadline: Deadline) -> dict[str, User]:
        found = self.directory.find([one for one in map(_address, users) if one], deadline)
        mailboxes = {key: user_of(entry) for key, entry in found.items()}
        return {key: user for key, user in mailboxes.items() if user}

    def _told(self, user: User, digests: Digests, due: float) -> bool:
        """Whether he knows of what was before `due`, or need not, or never will."""
        key = user.address.key
        if begun := digests.begun(key):
            digest, before = begun
            if self._went(digest):
                digests.done(key, before)
        sections = [one for one in (self._section(user, k, digests, due) for k in KINDS) if one]
        if not sections:
            digests.done(key, due)
            return True
        message = self._message(user, sections)
        digests.begin(key, message["Message-ID"], due)
        try:
            self.sender.send(user.address, message)
        except NoticeError as error:
            self.log.warning("digest not sent", to=user.address, error=str(error))
            if not isinstance(error, NoticeRefusedError):
                return False
        digests.done(key, due)
        return True

    def _went(self, digest: str) -> bool:
        """Whether a daemon has seen this digest."""
        for path in self.records.values():
            try:
                if search([path], digest):
                    return True
            except (RecordsError, OSError) as error:
                self.log.warning("cannot see whether a digest went", error=str(error))
        return False

    def _message(self, user: User, sections: Sequence[Section]) -> EmailMessage:
        key, address = self.keyring.active, user.address
        zone = time.strftime("%Z")
        off = off_address(address, key.secret)
        message = Letter(str(address), self.host, zone, off, sections).message(
            language_of(user.language, self.language)
        )
        message["Message-ID"] = digest_id(self.host, key.secret)
        return message

    def _section(self, user: User, kind: str, digests: Digests, due: float) -> Section | None:
        events, count = digests.events(user.address.key, kind, due, MOST)
        if kind == QUARANTINE:
            items = [item for one in events if (item := self._kept(user, one))]
        else:
            items = [Item(_time(one.time), one.sender, one.why) for one in events]
        return Section(kind, items, count - len(events)) if items else None

    def _kept(self, user: User, event: Event) -> Item | None:
        """A message in quarantine; None where it is there no more for him."""
        at = _time(event.time)
        try:
            message = held(self.quarantine.describe(event.id))
            with self.quarantine.opened(event.id) as file:
                block = parse_header(split_message(file.read(_HEADER))[0])
        except FileNotFoundError:
            return None
        except (ValueError, OSError):
            return Item(at, event.sender, event.why, id=event.id)
        subject = decoded(fields[0].value) if (fields := block.named(b"Subject")) else ""
        whose = (one for one in message.recipients if one.whose == user.address.key)
        whom = next(whose, None)
        if whom is None:
            return None
        rule = whom.decisive or ("", "")
        release = ""
        if not any(why.enforced for why in whom.reasons if why.rule == rule):
            secret = self.keyring.active.secret
            release = release_address(user.address, event.id, whom.address, rule, secret)
        hint = "" if release else event.id
        return Item(at, event.sender, event.why, subject, release, hint)


def _what(record: Record) -> str:
    """The kind of event that a record is of; empty where it is of none."""
    if record.action == Action.REJECT.word and record.reply.startswith("5"):
        return REFUSED
    if record.stage != "delivery" or not record.reply.startswith("2"):
        return ""
    return {Action.JUNK.word: JUNK, Action.QUARANTINE.word: QUARANTINE}.get(record.action, "")


def _why(details: Mapping[str, object]) -> str:
    """What the decisive rule found."""
    reasons = details.get("reasons")
    rows = [row for row in reasons if isinstance(row, dict)] if isinstance(reasons, list) else []
    try:
        most = max(rows, key=lambda row: Action.parse(row["action"]), default={})
    except (LookupError, ValueError, TypeError, AttributeError):
        return ""
    return ": ".join(str(most[name]) for name in ("check", "reason") if most.get(name))


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _latest(hour: int, now: float) -> float:
    """When the clock of this machine last struck this hour."""
    today = time.localtime(now)
    for days in (0, 1):
        day = (today.tm_year, today.tm_mon, today.tm_mday - days)
        at = time.mktime((*day, hour, 0, 0, 0, 0, -1))
        if at <= now:
            break
    return at
