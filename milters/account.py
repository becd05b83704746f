"""What the milter tells of a message: records for `iems why`, log lines, counts for the metrics.

A refusal is told before it is answered: a record that is not on disk in time is `RecordsError`, and
the answer becomes a temporary failure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from iems.codec.header import unfold
from iems.codec.printable import printable
from iems.model.address import Address
from iems.model.finding import Finding
from iems.model.policy import SITE, Action, Decision, Reason
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.serve.meter import Meter, Series, series
from iems.store.records import Record, Recorder, details
from milters.refusal import line
from milters.reply import Reject, TempFail
from milters.state import Message

COMMIT_SECONDS = 5.0
"""Seconds for a refusal's record. With 5 s of the directory, twice 5 s of the resolver where a
check asks on, 2 s for the count of `flow` and twice 2 s for those of `exact` a RCPT stays below
Postfix's milter_command_timeout of 30 s."""

EXACT = "exact"
"""The check that a recipient who is put off is put off by."""

_PUT_OFF = Reason(
    Finding(EXACT, "fail", "apart", "the recipients before are of another policy class"),
    Action.DEFER,
    SITE,
    enforced=True,
)


@dataclass(frozen=True)
class Account:
    """Of one worker; `clock` gives seconds of the epoch."""

    recorder: Recorder
    log: Log
    meter: Meter
    clock: Callable[[], float]

    def findings(self, seen: Sequence[Finding]) -> None:
        """Count what checks found."""
        self.meter.count_all([_counter(one.check, one.outcome, one.band) for one in seen])

    def verdict(self, stage: str, decision: Decision, reply: Reject | TempFail) -> None:
        """Count a recipient's verdict that was carried out."""
        finding = decision.decisive.finding if decision.decisive else None
        self.meter.count(
            "verdicts_total",
            stage=stage,
            action=decision.action.word,
            check=finding.counted if finding else "",
            band=finding.band if finding else "",
            reply=f"{reply.code // 100}xx",
        )

    def refused(
        self, message: Message, reply: Reject | TempFail, records: list[Record], checks: str
    ) -> None:
        """Put the records on disk, then log the refusal; RecordsError where they cannot be.

        One line tells of all: `verdicts` says of how many recipients behind it.
        """
        self.recorder.commit(records, Deadline.after(COMMIT_SECONDS))
        recipients = {one.recipient for one in records}
        self.log.event(
            message.reference,
            message.queue_id,
            stage=records[0].stage,
            action="reject" if isinstance(reply, Reject) else "defer",
            client=message.client,
            sender=message.sender,
            recipient=recipients.pop() if len(recipients) == 1 else "",
            reply=f"{reply.code} {reply.enhanced}",
            check=checks,
            verdicts=len(records),
        )

    def put_off(self, message: Message, address: Address, reply: TempFail) -> Record:
        """The record of a recipient who needs a transaction of his own.

        It holds no findings: it is no verdict about them, that could be another one.
        """
        told = details(Decision(Action.DEFER, (_PUT_OFF,)))
        del told["findings"]
        fields = {"recipient": str(address), "reply": line(reply), "details": told}
        return self.record(message, "rcpt", Action.DEFER.word, **fields)

    def split(self, outcome: str) -> None:
        """What became of a recipient who would need a transaction of his own."""
        self.meter.count("splits_total", outcome=outcome)

    def let_in(self, message: Message, seen: Sequence[Finding], *told: str) -> None:
        """One record, one log line and one count of a message that goes on to the queue.

        What is `told` of it stands in both, as far as it is not empty.
        """
        ids = message.block.named(b"message-id")
        message_id = printable(unfold(ids[0].value)) if ids else ""
        notes = tuple(one for one in told if one)
        fields = {"message_id": message_id, "details": details(Decision(notes=notes), seen)}
        self.recorder.add(self.record(message, "end-of-message", "accept", **fields))
        self.meter.count("messages_total", channel=message.channel)
        self.log.event(
            message.reference,
            message.queue_id,
            stage="end-of-message",
            action="accept",
            channel=message.channel,
            client=message.client,
            sender=message.sender,
            recipients=len(message.accepted),
            findings=",".join(f"{one.check}={one.outcome}" for one in seen),
            message_id=message_id,
            **({"note": "; ".join(notes)} if notes else {}),
        )

    def unavailable(self, message: Message, cause: str, why: str) -> None:
        """Something of ours keeps us from deciding."""
        self.meter.count("temporary_failures_total", cause=cause)
        self.log.error("cannot decide now", reference=message.reference, why=why)

    def bound(
        self, message: Message, stage: str, decision: Decision, reply: str, recipient: str = ""
    ) -> Record:
        """The record of a refusal that nobody's policy makes."""
        fields = {"recipient": printable(recipient), "reply": reply, "details": details(decision)}
        return self.record(message, stage, decision.action.word, **fields)

    def record(self, message: Message, stage: str, action: str, **more: Any) -> Record:  # noqa: ANN401
        """A record of this message."""
        return Record(
            reference=message.reference,
            stage=stage,
            action=action,
            queue_id=message.queue_id,
            channel=message.channel,
            client=message.client,
            sender=message.sender,
            time=self.clock(),
            **more,
        )


# A message has a dozen findings, and there are few different ones.
@functools.lru_cache(maxsize=1024)
def _counter(check: str, outcome: str, band: str) -> Series:
    return series("findings_total", {"check": check, "outcome": outcome, "band": band})
