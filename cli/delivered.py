"""Messages in Maildirs, decided again: by the record of their delivery, else by checks of today.

A message is ours where the Received of this host's Postfix stands in it behind no other but that of
an LMTP server. What it got then is what its record says; without a record it is told by the folder
it lies in and, for `tag`, by the mark in it. What the checks found comes from the record, or the
checks run on the message as its client sent it. What can be told by neither is counted, and why.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli.maildir import Kept, messages
from cli.witness import Witness
from iems.codec.delivered import delivered_to
from iems.codec.header import parse_header, unfold
from iems.codec.headers import OwnFindings
from iems.codec.received import Arrival, arrival
from iems.codec.senders import facts
from iems.directory.reader import Directory
from iems.dns.suffixes import shared
from iems.model.address import Address, AddressError
from iems.model.envelope import LOCAL
from iems.model.finding import Finding
from iems.model.message import HeaderBlock
from iems.model.policy import Action, Kind
from iems.model.senders import Facts
from iems.serve.deadline import Deadline
from iems.settings.schema import Settings
from iems.store.records import Record, details, search
from iems.store.replay import DELIVERY, Difference, Replay, decided
from lmtp.commands import Recipient
from lmtp.headers import message_id
from lmtp.outcome import outcome
from lmtp.provenance import Provenance
from lmtp.subjects import Target, find_targets

JUNK = "Junk"
"""The folder that the global Sieve script files in."""

BY_RECORD, BY_CHECKS = "record", "checks"
_BY_LMTP = re.compile(rb"\bwith (?:UTF8)?LMTPS?A?\s", re.IGNORECASE)
_SECONDS = 30.0


class UnjudgedError(Exception):
    """Nothing can be told of a message; the message says why, in few and fixed words."""


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, the message's file, and what it was judged by."""

    file: str
    by: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Trail:
    """What stands in a header of `size` bytes: `above` our own Received, it, and `below` it."""

    came: Arrival
    above: HeaderBlock
    below: HeaderBlock
    size: int


@dataclass
class Mail:
    """The messages of Maildirs; `owner` is whose they are, where they are one user's.

    `judged` counts by what they were judged, `unjudged` why they could not be.
    """

    site: Settings
    directory: Directory
    replay: Replay
    records: Sequence[Path]
    witness: Callable[[], Witness]
    owner: Address | None = None
    since: float = 0.0
    judged: collections.Counter[str] = field(default_factory=collections.Counter)
    unjudged: collections.Counter[str] = field(default_factory=collections.Counter)

    def differences(
        self,
        folders: Iterable[Path],
        warn: Callable[[str], None],
        progress: Callable[[int, int], None],
    ) -> Iterator[Found]:
        """What would be another verdict, as the messages are read.

        NoMaildirError, RecordsError, DirectoryUnavailable where these cannot be read.
        """

        def unread(file: str, why: str) -> None:
            self.unjudged["not read"] += 1
            warn(f"{file}: {why}")

        files = size = 0
        for folder in folders:
            for one in messages(folder, unread):
                files, size = files + 1, size + one.size
                progress(files, size)
                if one.time < self.since:
                    continue
                try:
                    yield from self._judged(one)
                except UnjudgedError as error:
                    self.unjudged[str(error)] += 1
                except OSError as error:
                    unread(one.file, str(error.strerror))

    def _judged(self, one: Kept) -> Iterator[Found]:
        trail = self._trail(one.header())
        owner = self._owner(trail)
        record = self._recorded(trail, owner)
        by = BY_RECORD if record else BY_CHECKS
        was = decided(record) if record else None
        record = record or self._checked(one, trail, owner)
        found = self.replay.compared(record, was.action if was else _place(one, trail))
        self.judged[by] += 1
        if found:  # without the details: there may be a hundred thousand
            bare = replace(found, record=replace(found.record, details={}))
            yield Found(one.file, by, bare)

    def _trail(self, header: bytes | None) -> Trail:
        if header is None:
            raise UnjudgedError("its header is too large")
        for one in parse_header(header).named(b"Received"):
            came = arrival(one.value, self.site.hostname)
            if came:
                end = one.start + len(one.raw)
                above, below = parse_header(header[: one.start]), parse_header(header[end:])
                return Trail(came, above, below, len(header))
            if not _BY_LMTP.search(unfold(one.value)):
                break
        raise UnjudgedError("not taken in by this server")

    def _owner(self, trail: Trail) -> Address:
        if self.owner:
            return self.owner
        told = delivered_to(trail.above)
        if len(told) != 1:
            raise UnjudgedError("it does not say to whom it was delivered")
        [key] = told  # no text of an address: it has no quotes
        local, _at, domain = key.rpartition("@")
        try:
            return Address.parse(str(Address(local, domain)))
        except AddressError:
            raise UnjudgedError("it does not say to whom it was delivered") from None

    def _recorded(self, trail: Trail, owner: Address) -> Record | None:
        """The last delivery of this message to the owner."""
        named = message_id(trail.below)
        rows = [
            row
            for row in search(self.records, trail.came.queue_id, recipient=str(owner))
            if row.stage == DELIVERY and row.message_id == named
        ]
        if not rows:
            return None
        if decided(rows[-1]) is None:
            raise UnjudgedError("no policy decided about it")
        return rows[-1]

    def _checked(self, one: Kept, trail: Trail, owner: Address) -> Record:
        """What the agent would record of it now."""
        target = self._target(owner)
        paths = trail.above.named(b"Return-Path")
        if not paths:
            raise UnjudgedError("it does not say who sent it")
        sender = unfold(paths[0].value).decode("utf-8", "replace").strip("<>")
        body = one.body(trail.size)
        passed = self.witness().passed(trail.came, sender, trail.below.fields, body)
        if passed is None:
            raise UnjudgedError("the milter would not take it in now")
        who = self._facts(passed.findings, sender, trail)
        found = (*passed.findings, *OwnFindings(trail.below).of(target.layers))
        came = Provenance("", trail.came.queue_id, passed.channel, one.time, found)
        decision = outcome(target, came, who, self.site, one.time).decision
        return Record(
            reference=trail.came.queue_id,
            stage=DELIVERY,
            action=decision.action.word,
            recipient=str(owner),
            subject=str(target.subject),
            channel=passed.channel,
            sender=sender,
            details=details(decision, passed.findings),
            time=one.time,
        )

    def _target(self, owner: Address) -> Target:
        """The owner as the agent finds him, whether or not he takes mail today."""
        asked = [Recipient(str(owner))]
        [found] = find_targets(self.directory, asked, Deadline.after(_SECONDS))
        subject = found.subject
        if found.channel != LOCAL or subject is None or subject.kind is not Kind.USER:
            raise UnjudgedError("whose it is is no user now")
        return Target(found.recipient, found.address, found.channel, found.layers)

    def _facts(self, findings: Iterable[Finding], sender: str, trail: Trail) -> Facts:
        try:
            envelope = Address.parse(sender)
        except AddressError:
            envelope = None
        return facts(
            findings,
            envelope,
            trail.came.ip or "",
            self.site.trusted_relays,
            shared().registered,
            [one.value for one in trail.below.named(b"From")],
        )


def _place(one: Kept, trail: Trail) -> Action:
    """What it got, by where it lies and, as nobody moves what is tagged, by its mark."""
    if one.folder == JUNK:
        return Action.JUNK
    marks = trail.above.named(b"X-IEMS-Verdict")
    tagged = marks and marks[0].value.strip().startswith(b"tag;")
    return Action.TAG if tagged else Action.DELIVER
