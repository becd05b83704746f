"""What is answered where a message is not let in, once its records are on disk.

Failure: what keeps us from deciding, or a record that cannot be written before a refusal, is a
temporary failure. On mail that does not come by SMTP nothing of this is answered, since Postfix
would keep such mail in maildrop for ever: it goes on, and the agent decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iems.directory.account import CHECK as ACCOUNT
from iems.directory.account import unreadable as not_read
from iems.directory.resolve import Destination
from iems.edits.edit import EditUnavailable
from iems.model.address import Address
from iems.model.envelope import INTERNET, LOCAL
from iems.model.finding import TEMPERROR, Finding
from iems.model.policy import SITE, Action, Decision, Reason, refused_by
from iems.store.records import Record, RecordsError, details
from milters.account import Account
from milters.refusal import line, refusal
from milters.reply import Continue, Reject, Reply, TempFail
from milters.state import Message


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one worker; `contact` is where help is."""

    account: Account
    contact: str

    def refusal(
        self,
        message: Message,
        address: Address | None,
        decisions: Sequence[tuple[Destination, Decision]],
        seen: tuple[Finding, ...],
        stage: str,
    ) -> Reply:
        """The refusal that all decisions agree on, once its records are on disk."""
        rejected = all(decision.action is Action.REJECT for _destination, decision in decisions)
        reply = refusal(
            address, decisions[0][1], self.contact, message.reference, rejected=rejected
        )
        leaves = any(destination.channel == INTERNET for destination, _decision in decisions)
        way = {"destination": INTERNET} if leaves else {}
        records = [
            self.account.record(
                message,
                stage,
                decision.action.word,
                recipient=str(address or destination.address),
                subject=str(
                    destination.user.layer.subject if destination.user else destination.channel
                ),
                reply=line(reply),
                details={**details(decision, seen), **way},
            )
            for destination, decision in decisions
        ]
        checks = (reason.finding.check for reason in decisions[0][1].reasons)
        answer = self.refuse(message, reply, records, ",".join(checks))
        if answer is reply:
            for _destination, decision in decisions:
                self.account.verdict(stage, decision, reply)
        return answer

    def unreadable(self, message: Message, recipient: str) -> Reply:
        """Nobody's policy is known, and the agent would refuse it, which would be a bounce."""
        if message.channel == LOCAL:
            return Continue()
        text = f"this address cannot be read; reference {message.reference}"
        reply = Reject(553, "5.1.3", text)
        record = self.account.bound(message, "rcpt", not_read(), line(reply), recipient)
        return self.refuse(message, reply, [record], ACCOUNT)

    def too_large(self, message: Message, excess: str) -> Reply:
        """More than is read, whatever anybody's policy says."""
        reply = Reject(552, "5.3.4", f"{excess}; reference {message.reference}")
        found = Finding("message", "fail", "too-large", excess)
        record = self.account.bound(message, "end-of-message", refused_by(found), line(reply))
        return self.refuse(message, reply, [record], found.check)

    def unwanted(self, message: Message, edit: str, why: str) -> Reply:
        """What an edit would have to change, and must not."""
        found = Finding(edit, "fail", "unchangeable", f"such mail is not taken: {why}")
        decision = refused_by(found)
        reply = refusal(None, decision, self.contact, message.reference, rejected=True)
        record = self.account.bound(message, "end-of-message", decision, line(reply))
        return self.refuse(message, reply, [record], edit)

    def waiting(self, message: Message, error: EditUnavailable) -> Reply:
        """Who has to edit it cannot now: recorded, where it is a failure."""
        answer = self.unavailable(message, "plugin", str(error))
        if not isinstance(answer, TempFail):
            return answer
        found = Finding(error.edit, TEMPERROR, TEMPERROR, error.why)
        why = Reason(found, Action.DEFER, SITE, enforced=True)
        decision = Decision(Action.DEFER, (why,))
        record = self.account.bound(message, "end-of-message", decision, line(answer))
        return self.refuse(message, answer, [record], error.edit)

    def refuse(
        self, message: Message, reply: Reject | TempFail, records: list[Record], checks: str
    ) -> Reply:
        """The refusal, once its records are on disk."""
        try:
            self.account.refused(message, reply, records, checks)
        except RecordsError as error:
            return self.unavailable(message, "records", str(error))
        return reply

    def unavailable(self, message: Message, cause: str, why: str) -> Reply:
        """A temporary failure, or on mail that does not come by SMTP the agent's own decision."""
        self.account.unavailable(message, cause, why)
        if message.channel == LOCAL:
            return Continue()
        text = f"try again later; reference {message.reference}"
        return TempFail(451, "4.3.0", text)
