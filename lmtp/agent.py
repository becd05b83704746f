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
from typing import Protocol

from iems.codec.delivered import delivered_to
from iems.codec.findings import rows_of
from iems.codec.headers import OwnFindings
from iems.codec.printable import printable
from iems.codec.senders import facts
from iems.directory.account import ENHANCED, looped, unknown
from iems.directory.reader import Directory, DirectoryUnavailable
from iems.dns.suffixes import shared
from iems.model.address import Address, AddressError
from iems.model.envelope import LOCAL
from iems.model.policy import Action, Decision
from iems.model.senders import Facts
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.settings.schema import Settings
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder, RecordsError, details
from lmtp import headers
from lmtp.client import Delivered, Parcel
from lmtp.dsn import Reports, Row
from lmtp.grouping import Copy, Group, group
from lmtp.outcome import Outcome, outcome
from lmtp.provenance import Origin, Provenance
from lmtp.reply import Reply, reply
from lmtp.subjects import Target, find_targets
from lmtp.transaction import Transaction

TOTAL = 540.0
"""Seconds for one transaction, a tenth below Postfix's `lmtp_data_done_timeout`."""

DIRECTORY = 15.0
RECORDS = 15.0
"""Seconds; a directory or disk that takes longer is as good as gone."""

NO_DIRECTORY = reply(451, "4.3.0", "Directory is not available")
_NO_QUARANTINE = reply(451, "4.3.1", "Quarantine is not available")
_NO_RECORD = reply(451, "4.3.0", "Verdict cannot be recorded")
UNKNOWN = reply(550, "5.1.1", "User unknown")

FORWARDED = (Action.DELIVER, Action.TAG, Action.JUNK)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the message for one mailbox.

    `binding` says that the record must be on disk before the reply, `owed` that the sender may ask
    for a report of this delivery and nobody but us will give it.
    """

    target: Target
    reply: Reply
    action: str
    details: dict[str, object] = field(default_factory=dict)
    decision: Decision = field(default_factory=Decision)
    binding: bool = False
    owed: bool = False


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
    log: Log
    meter: Meter
    now: Callable[[], float] = time.time

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """One reply for each recipient; recipients that are one mailbox share the delivery."""
        with self.meter.timed("stage_seconds", stage="delivery"):
            return Delivery(self, transaction).run()


class Delivery:
    """One transaction on its way through the agent; `marks` stand in its records and log lines."""

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
        self._cleaned = headers.clean(self._block, agent.settings.hostname if fault else "")

    def run(self) -> Sequence[Reply]:
        """Find the subjects, decide, carry out, record, report."""
        recipients = self._transaction.recipients
        until = self._deadline.sooner(DIRECTORY)
        try:
            targets = find_targets(self._agent.directory, recipients, until)
        except DirectoryUnavailable as error:
            self._agent.log.warning("directory is not available", error=printable(str(error)))
            lost = [Target(recipient, None, LOCAL) for recipient in recipients]
            self._log(Result(target, NO_DIRECTORY, "tempfail") for target in lost)
            return [NO_DIRECTORY] * len(recipients)
        unique: dict[str, Target] = {}
        for target in targets:
            present = unique.get(target.key)
            unique[target.key] = present.joined(target) if present else target
        results = {one.target.key: one for one in self._results(unique.values())}
        self._report([results[target.key] for target in targets])
        self._log(results.values())
        return [results[target.key].reply for target in targets]

    def _results(self, targets: Iterable[Target]) -> list[Result]:
        results: list[Result] = []
        decided: dict[Action, list[Outcome]] = {}
        for target in targets:
            if not target.known:
                results.append(_unknown(target))
            else:
                one = self._outcome(target)
                decided.setdefault(one.action, []).append(one)
        results += self._kept_back(decided)
        recorded = self._recorded(results)
        return recorded + self._recorded(self._forwarded(decided))

    def _outcome(self, target: Target) -> Outcome:
        """What is done for a recipient who is known."""
        agent = self._agent
        again = replace(target, closed=looped()) if target.key in self._had else target
        came, ruled = self._provenance, [one for one in target.speakers if one.headers]
        if ruled:
            came = replace(came, findings=(*came.findings, *self._own.of(ruled)))
        return outcome(again, came, self._facts, agent.settings, agent.now(), self.past)

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
            _address(transaction.mail.sender),
            transaction.forward.get("ADDR", "").removeprefix("IPV6:"),
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
            Action.REJECT: reply(550, "5.7.1", f"Refused by policy; ref={reference}; {contact}"),
        }
        for action, answer in answers.items():
            for one in decided.get(action, ()):
                told = _closed(one, reference) or answer
                yield Result(
                    one.target,
                    told,
                    action.word,
                    self._details(one),
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
            name = self._agent.quarantine.put(self._pieces(b""), self._description(outcomes))
        except OSError as error:
            self._agent.log.warning("quarantine is not available", error=printable(str(error)))
            answer = _NO_QUARANTINE
        for one in outcomes:
            told = {**self._details(one), "quarantine": name}
            yield Result(one.target, answer, one.action.word, told, one.decision, binding=True)

    def _forwarded(self, decided: Mapping[Action, list[Outcome]]) -> Iterator[Result]:
        """What goes on to the next hops, recipients with equal bytes together."""
        outcomes = [one for action in FORWARDED for one in decided.get(action, ())]
        by_key = {one.target.key: one for one in outcomes}
        for parcel in group(self._copy(one) for one in outcomes):
            delivered = self._forward(parcel)
            for target, answer in zip(parcel.targets, delivered.replies, strict=True):
                one = by_key[target.key]
                owed = answer.positive and not delivered.reports
                told = self._details(one)
                yield Result(target, answer, one.action.word, told, one.decision, owed=owed)

    def _forward(self, parcel: Group) -> Delivered:
        message = self._transaction.message
        size = len(parcel.fields) + message.size
        recipients = tuple(target.recipient for target in parcel.targets)
        pieces = functools.partial(self._pieces, parcel.fields)
        wanted = Parcel(self._transaction.mail, recipients, size, pieces)
        return self._agent.upstreams[parcel.upstream].deliver(wanted, self._deadline)

    def _copy(self, one: Outcome) -> Copy:
        target = one.target
        original = headers.original_field(target.recipient.original, target.address)
        fields = headers.verdict_field(one.action, self._provenance.reference) + original
        upstream = target.channel if target.channel in self._agent.upstreams else LOCAL
        return Copy(target, upstream, fields, alone=bool(original))

    def _pieces(self, fields: bytes) -> Iterator[bytes]:
        yield self._cleaned.copy(fields)
        yield from self._transaction.message.body.pieces()

    def _recorded(self, results: Iterable[Result]) -> list[Result]:
        """The results with their records written; a binding one fails with its record."""
        done = list(results)
        binding = [self._record(one) for one in done if one.binding]
        for one in done:
            if not one.binding:
                self._agent.recorder.add(self._record(one))
        if not binding:
            return done
        try:
            self._agent.recorder.commit(binding, self._deadline.sooner(RECORDS))
        except RecordsError as error:
            self._agent.log.warning("records are not available", error=printable(str(error)))
            self._withdraw(done)
            return [
                replace(one, reply=_NO_RECORD, action="tempfail") if one.binding else one
                for one in done
            ]
        return done

    def _withdraw(self, results: Iterable[Result]) -> None:
        """Take out of quarantine what the sender keeps: with every new try there would be more."""
        for name in {str(one.details.get("quarantine", "")) for one in results} - {""}:
            try:
                self._agent.quarantine.remove(name)
            except OSError as error:
                self._agent.log.warning("left in quarantine", id=name, error=printable(str(error)))

    def _record(self, one: Result) -> Record:
        provenance = self._provenance
        return Record(
            reference=provenance.reference,
            stage=self.stage,
            action=one.action,
            reply=str(one.reply),
            recipient=one.target.recipient.address,
            subject=str(one.target.subject or ""),
            queue_id=provenance.queue_id,
            message_id=headers.message_id(self._block),
            channel=provenance.channel,
            client=self._transaction.forward.get("ADDR", ""),
            sender=self._transaction.mail.sender,
            details=one.details,
        )

    def _details(self, one: Outcome) -> dict[str, object]:
        return {**details(one.decision, self._provenance.findings), **self.marks}

    def _description(self, outcomes: list[Outcome]) -> dict[str, object]:
        provenance, mail = self._provenance, self._transaction.mail
        return {
            "reference": provenance.reference,
            "queue_id": provenance.queue_id,
            "channel": provenance.channel,
            "client": self._transaction.forward.get("ADDR", ""),
            "time": self._agent.now(),
            "sender": mail.sender,
            "smtputf8": mail.utf8,
            "eight_bit": mail.eight_bit,
            "passed": rows_of(provenance.findings),
            "recipients": [
                {
                    "address": one.target.recipient.address,
                    "orcpt": one.target.recipient.orcpt,
                    "subject": str(one.target.subject or ""),
                    **self._details(one),
                }
                for one in outcomes
            ],
        }

    def _report(self, results: Sequence[Result]) -> None:
        """The "delivered" report for those recipients whose NOTIFY asks for it (RFC 3461)."""
        rows = [
            Row(recipient, one.reply)
            for recipient, one in zip(self._transaction.recipients, results, strict=True)
            if one.owed and "SUCCESS" in recipient.notify
        ]
        if rows and self._transaction.mail.sender:
            self._agent.reports.send(self._transaction.mail, rows, self._cleaned.copy(b""))

    def _log(self, results: Iterable[Result]) -> None:
        provenance = self._provenance
        for one in results:
            self._agent.log.event(
                provenance.reference,
                provenance.queue_id,
                recipient=one.target.recipient.address,
                action=one.action,
                reply=one.reply,
                channel=provenance.channel,
                **self.marks,
            )
            self._agent.meter.count("verdicts_total", stage=self.stage, **_labels(one))


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None


def _labels(one: Result) -> dict[str, str]:
    """What a verdict is counted by; check and band are those that decided, where any did."""
    decisive = one.decision.decisive
    finding = decisive.finding if decisive else None
    return {
        "action": one.action,
        "check": finding.counted if finding else "",
        "band": finding.band if finding else "",
        "reply": f"{one.reply.code // 100}xx",
    }


def _closed(one: Outcome, reference: str) -> Reply | None:
    """The refusal for a mailbox that takes no mail, or not this again, with its reason."""
    if one.action is not Action.REJECT or one.target.closed is None:
        return None
    [reason] = one.target.closed.reasons
    found = reason.finding
    return reply(550, ENHANCED[found.band], f"{printable(found.reason, 300)}; ref={reference}")


def _unknown(target: Target) -> Result:
    decision = unknown()
    action = decision.action.word
    return Result(target, UNKNOWN, action, details(decision), decision, binding=True)
