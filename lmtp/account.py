"""What the agent tells of a message: records for `iems why`, log lines, counts for the metrics.

What is final here, and nobody else will tell, is on disk before the reply; where its record cannot
be written it is a temporary failure instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from iems.codec.findings import rows_of
from iems.codec.printable import printable
from iems.model.policy import Decision
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter
from iems.store.quarantine import Quarantine
from iems.store.records import Record, Recorder, RecordsError, details
from lmtp.outcome import Outcome
from lmtp.provenance import Provenance
from lmtp.reply import Reply, reply
from lmtp.subjects import Target
from lmtp.transaction import Transaction

RECORDS = 15.0
"""Seconds; a disk that takes longer is as good as gone."""

_NO_RECORD = reply(451, "4.3.0", "Verdict cannot be recorded")


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


@dataclass(frozen=True)
class Account:
    """Of one transaction; `marks` stand in its records and log lines."""

    recorder: Recorder
    quarantine: Quarantine
    log: Log
    meter: Meter
    stage: str
    provenance: Provenance
    transaction: Transaction
    message_id: str
    marks: dict[str, object]

    def recorded(self, results: Iterable[Result], deadline: Deadline) -> list[Result]:
        """The results with their records written; a binding one fails with its record."""
        done = list(results)
        binding = [self._record(one) for one in done if one.binding]
        for one in done:
            if not one.binding:
                self.recorder.add(self._record(one))
        if not binding:
            return done
        try:
            self.recorder.commit(binding, deadline.sooner(RECORDS))
        except RecordsError as error:
            self.log.warning("records are not available", error=printable(str(error)))
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
                self.quarantine.remove(name)
            except OSError as error:
                self.log.warning("left in quarantine", id=name, error=printable(str(error)))

    def _record(self, one: Result) -> Record:
        provenance = self.provenance
        return Record(
            reference=provenance.reference,
            stage=self.stage,
            action=one.action,
            reply=str(one.reply),
            recipient=one.target.recipient.address,
            subject=str(one.target.subject or ""),
            queue_id=provenance.queue_id,
            message_id=self.message_id,
            channel=provenance.channel,
            client=self.transaction.forward.get("ADDR", ""),
            sender=self.transaction.mail.sender,
            details=one.details,
        )

    def details(self, one: Outcome) -> dict[str, object]:
        """What the record of an outcome says."""
        found = (*self.provenance.findings, *one.found.findings)
        return {**details(one.decision, found), **self.marks}

    def description(self, outcomes: Sequence[Outcome], now: float) -> dict[str, object]:
        """What quarantine says of a message that is there for these recipients."""
        provenance, mail = self.provenance, self.transaction.mail
        return {
            "reference": provenance.reference,
            "queue_id": provenance.queue_id,
            "channel": provenance.channel,
            "client": self.transaction.forward.get("ADDR", ""),
            "time": now,
            "sender": mail.sender,
            "smtputf8": mail.utf8,
            "eight_bit": mail.eight_bit,
            "passed": rows_of(provenance.findings),
            "recipients": [
                {
                    "address": one.target.recipient.address,
                    "orcpt": one.target.recipient.orcpt,
                    "subject": str(one.target.subject or ""),
                    **self.details(one),
                }
                for one in outcomes
            ],
        }

    def told(self, results: Iterable[Result]) -> None:
        """One line in the log for each, and one count."""
        provenance = self.provenance
        for one in results:
            self.log.event(
                provenance.reference,
                provenance.queue_id,
                recipient=one.target.recipient.address,
                action=one.action,
                reply=one.reply,
                channel=provenance.channel,
                **self.marks,
            )
            self.meter.count("verdicts_total", stage=self.stage, **_labels(one))


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
