"""The agent: one verdict per recipient, carried out, and one reply per recipient.

250 is said when the next hop said it, when the message is in quarantine and the record of that is
on disk, or when the verdict is discard and its record is on disk. Everything that goes wrong is a
temporary failure: directory, disk, records, next hop. The whole of it stays below Postfix's
`lmtp_data_done_timeout` (600 s); otherwise Postfix would try again what is still under way.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from iems.codec.delivered import delivered_to
from iems.codec.headers import OwnFindings
from iems.codec.printable import printable
from iems.codec.senders import facts
from iems.directory.account import looped, unknown
from iems.directory.reader import Directory, DirectoryUnavailable
from iems.dns.suffixes import shared
from iems.model.envelope import LOCAL
from iems.model.policy import Action
from iems.model.senders import Facts
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.schema import Settings
from iems.store.quarantine import Quarantine
from iems.store.records import Recorder, details
from iems.store.spool import Spool, Spooled
from lmtp import headers
from lmtp.account import Account, Result
from lmtp.books import Books, Lookup
from lmtp.client import Delivered, Parcel
from lmtp.dsn import Reports, Row
from lmtp.editing import Copies, Editor, Made
from lmtp.facts import fact_fields
from lmtp.grouping import Copy, Group, group
from lmtp.judging import Judge, Judgement, Known
from lmtp.originals import Originals
from lmtp.outcome import LATE, Outcome, is_late, outcome
from lmtp.provenance import Origin, Provenance
from lmtp.refusal import refusal
from lmtp.reply import Reply, reply
from lmtp.subjects import Target, find_targets, parsed
from lmtp.texts import Texts
from lmtp.tracing import Tracing
from lmtp.transaction import Transaction

TOTAL = 540.0
"""Seconds for one transaction, a tenth below Postfix's `lmtp_data_done_timeout`."""

DIRECTORY = 15.0
"""Seconds; a directory that takes longer is as good as gone."""

NO_DIRECTORY = reply(451, "4.3.0", "Directory is not available")
_NO_QUARANTINE = reply(451, "4.3.1", "Quarantine is not available")
UNKNOWN = reply(550, "5.1.1", "User unknown")

FORWARDED = (Action.DELIVER, Action.REMOVE, Action.TAG, Action.JUNK)


class NextHop(Protocol):
    """Who takes copies for the mailboxes of a channel: an `Upstream`."""

    def deliver(self, parcel: Parcel, deadline: Deadline) -> Delivered:
        """One reply for each recipient of the parcel, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Agent:
    """Takes transactions from many sessions at once; holds what they share."""

    settings: Settings
    directory: Directory
    origin: Origin
    upstreams: Mapping[str, NextHop]
    recorder: Recorder
    quarantine: Quarantine
    reports: Reports
    spool: Spool
    editor: Editor
    log: Log
    meter: Meter
    tracing: Tracing = field(default_factory=Tracing)
    judge: Judge | None = None
    books: Books = field(default_factory=Books)
    now: Callable[[], float] = time.time

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """One reply for each recipient; recipients that are one mailbox share the delivery."""
        timed = self.meter.timed("stage_seconds", stage="delivery")
        with timed, Delivery(self, transaction) as delivery:
            return delivery.run()


class Delivery:
    """One transaction on its way through the agent; `marks` stand in its records and log lines.

    Leaving the `with` block frees the copies that were made.
    """

    stage = "delivery"
    past: Collection[tuple[str, str]] = ()
    """Rules that count as if they had found nothing."""

    def __init__(
        self, agent: Agent, transaction: Transaction, provenance: Provenance | None = None
    ) -> None:
        self._agent = agent
        self._transaction = transaction
        self._deadline = Deadline.after(TOTAL)
        self._block = headers.read(transaction.message.header)
        ident = transaction.forward.get("IDENT", "")
        self._provenance: Provenance = provenance or agent.origin.of(self._block, ident)
        fault = self._provenance.fault
        self.marks: dict[str, object] = {"fault": fault} if fault else {}
        self._forged = agent.settings.hostname if fault else ""
        self._cleaned = headers.clean(self._block, self._forged)
        message = Spooled(self._cleaned.copy(b""), transaction.message.body)
        self._copies = Copies(agent.spool, message, self._deadline)
        self._judgement: Judgement = Known()
        if agent.judge is not None:
            channel, client = self._provenance.channel, self._client
            self._judgement = agent.judge.judgement(message, channel, client)
        self._texts = Texts(
            agent.editor.plan,
            self._provenance.channel,
            self._block,
            message.size,
            agent.directory,
            self._deadline.sooner(DIRECTORY),
        )
        self._originals = Originals(agent.quarantine, agent.log)
        self._account = Account(
            agent.recorder,
            agent.quarantine,
            agent.log,
            agent.meter,
            self.stage,
            self._provenance,
            transaction,
            headers.message_id(self._block),
            self.marks,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._copies.__exit__(*error)

    def run(self) -> Sequence[Reply]:
        """Find the subjects, decide, carry out, record, report."""
        recipients = self._transaction.recipients
        until = self._deadline.sooner(DIRECTORY)
        try:
            targets = find_targets(self._agent.directory, recipients, until)
        except DirectoryUnavailable as error:
            self._agent.log.warning("directory is not available", error=printable(str(error)))
            lost = [Target(recipient, None, LOCAL) for recipient in recipients]
            self._account.told(Result(target, NO_DIRECTORY, "tempfail") for target in lost)
            return [NO_DIRECTORY] * len(recipients)
        unique: dict[str, Target] = {}
        for target in targets:
            present = unique.get(target.key)
            unique[target.key] = present.joined(target) if present else target
        results = {one.target.key: one for one in self._results(unique.values())}
        self._report([results[target.key] for target in targets])
        self._account.told(results.values())
        return [results[target.key].reply for target in targets]

    def _results(self, targets: Iterable[Target]) -> list[Result]:
        results: list[Result] = []
        decided: dict[Action, list[Outcome]] = {}
        for target in targets:
            if not target.known:
                results.append(_unknown(target))
            else:
                one = self._changed(self._outcome(target))
                decided.setdefault(one.action, []).append(one)
        taken = (*FORWARDED, Action.QUARANTINE)
        kept = [one for action in taken for one in decided.get(action, ())]
        self._judgement.remember(kept, self._agent.now())
        results += self._kept_back(decided)
        recorded = self._account.recorded(results, self._deadline)
        forwarded = [one for action in FORWARDED for one in decided.get(action, ())]
        return recorded + self._account.recorded(self._forwarded(forwarded), self._deadline)

    def _outcome(self, target: Target) -> Outcome:
        """What is done for a recipient who is known."""
        agent = self._agent
        again = replace(target, closed=looped()) if target.key in self._had else target
        came, ruled = self._provenance, [one for one in target.speakers if one.headers]
        if ruled:
            came = replace(came, findings=(*came.findings, *self._own.of(ruled)))
        found = self._judgement.found(target)
        one = outcome(again, came, self._facts, agent.settings, agent.now(), self.past, found)
        if not (target.facts or (target.user and agent.settings.mailsort.facts)):
            return one
        in_book = self._lookup.knows(target.user)
        told = fact_fields(target, came.findings, found, self._facts, in_book=in_book)
        return replace(one, facts=told)

    @functools.cached_property
    def _lookup(self) -> Lookup:
        """In whose address books the author stands."""
        return self._agent.books.lookup(self._facts)

    @property
    def _client(self) -> str:
        """The address of who connected; empty where Postfix does not say it."""
        return self._transaction.forward.get("ADDR", "").removeprefix("IPV6:")

    @functools.cached_property
    def _had(self) -> frozenset[str]:
        """Who has had the message before."""
        return delivered_to(self._block)

    @functools.cached_property
    def _own(self) -> OwnFindings:
        """What rules of domains and lists find in the header."""
        return OwnFindings(headers.as_sent(self._block, self._agent.settings.hostname))

    @functools.cached_property
    def _facts(self) -> Facts:
        """Who sent the message."""
        transaction = self._transaction
        return facts(
            self._provenance.findings,
            parsed(transaction.mail.sender),
            self._client,
            self._agent.settings.trusted_relays,
            shared().registered,
            [field.value for field in self._block.named(b"From")],
        )

    def _kept_back(self, decided: Mapping[Action, list[Outcome]]) -> Iterator[Result]:
        """What reaches no mailbox now."""
        reference = self._provenance.reference
        contact = printable(self._agent.settings.contact, 100)
        answers = {
            Action.DISCARD: reply(250, "2.0.0", f"Taken; ref={reference}"),
            Action.DEFER: reply(451, "4.7.1", f"Not taken yet; ref={reference}"),
        }
        for action in (*answers, Action.REJECT):
            for one in decided.get(action, ()):
                yield Result(
                    one.target,
                    answers.get(action) or refusal(one, reference, contact),
                    action.word,
                    self._account.details(one),
                    one.decision,
                    binding=True,
                )
        quarantined = decided.get(Action.QUARANTINE)
        if quarantined:
            yield from self._quarantined(quarantined)

    def _quarantined(self, outcomes: list[Outcome]) -> Iterator[Result]:
        """One file for all whose message it is; 250 once it is on disk."""
        answer = reply(250, "2.0.0", f"Taken; ref={self._provenance.reference}")
        name = ""
        try:
            name = self._agent.quarantine.put(
                self._pieces(b""), self._account.description(outcomes, self._agent.now())
            )
        except OSError as error:
            self._agent.log.warning("quarantine is not available", error=printable(str(error)))
            answer = _NO_QUARANTINE
        for one in outcomes:
            told = {**self._account.details(one), "quarantine": name}
            yield Result(one.target, answer, one.action.word, told, one.decision, binding=True)

    def _changed(self, one: Outcome) -> Outcome:
        """The outcome with what is changed in the copy; it is kept back where that cannot be."""
        if one.action not in FORWARDED:
            return one
        editor, removals = self._agent.editor, one.decision.removals
        try:
            changes = editor.changes(removals, one.target.language, self._originals.name)
        except KeyError as error:
            note = f"there is no rule {error.args[0]} any more"
            return one.kept_back(Action.QUARANTINE, note)
        try:
            texts, notes = self._texts.of(one.target)
            made = self._copies.made((*changes, *texts))
        except DirectoryUnavailable as error:
            texts, notes, made = (), (), Made(unable=printable(str(error)))
        late = bool(made.unable) and self._late()
        if not changes and (made.refused or late):
            return one.noted(f"texts are not put in: {made.refused or made.unable}")
        if made.refused:
            return one.kept_back(Action.QUARANTINE, f"cannot be changed: {made.refused}")
        if late:
            return one.kept_back(Action.QUARANTINE, LATE)
        if made.unable:
            return one.kept_back(Action.DEFER, f"cannot be changed now: {made.unable}")
        # Where nobody can look once more it counts as removed.
        removed = self._copies.made(changes) != Made()
        left = ["nothing was left to remove"] if changes and not removed else []
        one = one.noted(*notes, *made.notes, *left)
        if made.message is None:
            return one
        original = self._originals.name if removed and editor.keeps(removals) else ""
        return replace(one, changes=(*changes, *texts), original=original)

    def _late(self) -> bool:
        """Whether the queue has waited for long enough."""
        return is_late(self._provenance, self._agent.now())

    def _forwarded(self, outcomes: Sequence[Outcome]) -> Iterator[Result]:
        """What goes on to the next hops, recipients with equal bytes together.

        Before that the message is kept as it was for whom parts are removed. Who has not got his
        copy has nothing there.
        """
        originals = [one for one in outcomes if one.original]
        now = self._agent.now()
        if originals and not self._originals.put(self._pieces(b""), self._account, originals, now):
            yield from (self._result(one, _NO_QUARANTINE) for one in originals)
            outcomes = [one for one in outcomes if not one.original]
            originals = []
        by_key = {one.target.key: one for one in outcomes}
        lost: set[str] = set()
        for parcel in group(self._copy(one) for one in outcomes):
            delivered = self._forward(parcel)
            for target, answer in zip(parcel.targets, delivered.replies, strict=True):
                lost |= set() if answer.positive else {target.recipient.address}
                owed = answer.positive and not delivered.reports
                yield replace(self._result(by_key[target.key], answer), owed=owed)
        if originals and lost:
            self._originals.forget(lost)

    def _result(self, one: Outcome, answer: Reply) -> Result:
        told = {
            **self._account.details(one),
            **({"original": one.original} if one.original else {}),
        }
        return Result(one.target, answer, one.action.word, told, one.decision)

    def _forward(self, parcel: Group) -> Delivered:
        changed = self._copies.made(parcel.changes).message
        message, cleaned = self._transaction.message, self._cleaned
        if changed is not None:
            message, cleaned = changed, headers.clean(headers.read(changed.header), self._forged)
        came, now = self._provenance, self._agent.now()
        fields = self._agent.tracing.fields(parcel, cleaned, message.body, came, now)
        size = len(fields) + message.size
        recipients = tuple(target.recipient for target in parcel.targets)

        def pieces() -> Iterator[bytes]:
            yield cleaned.copy(fields)
            yield from message.body.pieces()

        wanted = Parcel(self._transaction.mail, recipients, size, pieces)
        return self._agent.upstreams[parcel.upstream].deliver(wanted, self._deadline)

    def _copy(self, one: Outcome) -> Copy:
        target = one.target
        original = headers.original_field(target.recipient.original, target.address)
        verdict = headers.verdict_field(one.action, self._provenance.reference)
        fields = verdict + one.facts + original
        upstream = target.channel if target.channel in self._agent.upstreams else LOCAL
        return Copy(target, upstream, fields, bool(original), one.changes)

    def _pieces(self, fields: bytes) -> Iterator[bytes]:
        yield self._cleaned.copy(fields)
        yield from self._transaction.message.body.pieces()

    def _report(self, results: Sequence[Result]) -> None:
        """The "delivered" report for those recipients whose NOTIFY asks for it (RFC 3461)."""
        rows = [
            Row(recipient, one.reply)
            for recipient, one in zip(self._transaction.recipients, results, strict=True)
            if one.owed and "SUCCESS" in recipient.notify
        ]
        if rows and self._transaction.mail.sender:
            self._agent.reports.send(self._transaction.mail, rows, self._cleaned.copy(b""))


def _unknown(target: Target) -> Result:
    decision = unknown()
    action = decision.action.word
    return Result(target, UNKNOWN, action, details(decision), decision, binding=True)
