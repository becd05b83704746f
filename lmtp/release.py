"""Out of quarantine: one stored message for one recipient, past the rules that a token names.

The message is taken from the agent's own store, never from who asks. What was found then is decided
on anew, as if the rules of the token had found nothing; it is delivered if nothing else keeps it,
and is neither signed nor sent through Postfix again. Only the site's administrator passes what the
site enforces; a user or domain passes what they could choose to have delivered.

The recipient is taken out of the store once the next hop has said 250, while the message is claimed
(`Quarantine.claimed`): two releases at once deliver once, and a token that has delivered is spent.
Whatever goes wrong before leaves the message where it is. A crash between that 250 and the store
leaves it there, too: who releases it again delivers it twice, and nothing is ever lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

from iems.codec.printable import printable
from iems.codec.release import Release, ReleaseError, decode
from iems.directory.reader import DirectoryUnavailable
from iems.model.envelope import LOCAL
from iems.model.policy import Action, Kind, allowed
from iems.serve.deadline import Deadline
from iems.store.held import Held, HeldFor, held
from iems.store.records import RELEASE
from iems.store.spool import PIECE, Spool
from lmtp.agent import DIRECTORY, FORWARDED, NO_DIRECTORY, TOTAL, UNKNOWN, Agent, Delivery
from lmtp.commands import CommandError, Mail, Recipient, parse_rcpt
from lmtp.judging import Known
from lmtp.outcome import Found, Outcome
from lmtp.provenance import Provenance
from lmtp.reply import Reply, reply
from lmtp.subjects import Target, find_targets
from lmtp.transaction import Transaction

FORBIDDEN = 530
"""The code for who may not release this; no reply of a next hop has it."""

MISSING = reply(550, "5.1.6", "No such message in quarantine for this recipient")
_TOKEN = reply(535, "5.7.8", "Token is not valid")
_BUSY = reply(450, "4.2.0", "Message is being released or deleted already")
_DAMAGED = reply(550, "5.6.0", "Description of the message cannot be read")
_UNREADABLE = reply(451, "4.3.0", "Message cannot be read")


@dataclass(frozen=True, slots=True)
class Releases:
    """Carries tokens out; `secret_of` knows the keys that they are made with."""

    agent: Agent
    spool: Spool
    secret_of: Callable[[str], bytes | None]

    def release(self, token: str) -> Reply:
        """The reply to one token: that of the next hop, or why it was not asked."""
        try:
            wanted = decode(token, self.secret_of, self.agent.now())
        except ReleaseError as error:
            self.agent.log.warning("release refused", why=error)
            return _TOKEN
        return self.carry_out(wanted, Deadline.after(TOTAL))

    def carry_out(self, wanted: Release, deadline: Deadline) -> Reply:
        """The same for what a token says."""
        answer = self._release(wanted, deadline)
        if not answer.positive:
            fields = {"id": wanted.id, "recipient": wanted.recipient, "reply": answer}
            self.agent.log.warning("not released", **fields)
        return answer

    def _release(self, wanted: Release, deadline: Deadline) -> Reply:
        try:
            with self.agent.quarantine.claimed(wanted.id) as file:
                return self._claimed(file, wanted, deadline)
        except BlockingIOError:
            return _BUSY
        except FileNotFoundError:
            return MISSING
        except OSError as error:
            why = printable(str(error))
            self.agent.log.warning("quarantine is not available", id=wanted.id, error=why)
            return _UNREADABLE

    def _claimed(self, file: BinaryIO, wanted: Release, deadline: Deadline) -> Reply:
        store = self.agent.quarantine
        try:
            message = held(store.describe(wanted.id))
            whom = next(
                (one for one in message.recipients if one.address == wanted.recipient), None
            )
            recipient = _recipient(whom) if whom else None
        except (ValueError, CommandError):
            return _DAMAGED
        if whom is None or recipient is None:
            return MISSING
        size = os.fstat(file.fileno()).st_size
        with self.spool.receive(size) as incoming:
            while piece := file.read(PIECE):
                incoming.write(piece)
            mail = Mail(message.sender, size, message.eight_bit, message.utf8)
            forward = {"ADDR": message.client}
            taken = Transaction(mail, (recipient,), forward, incoming.finish())
            with _Released(self.agent, taken, message, whom, wanted) as released:
                answer = released.carry_out(deadline)
        if answer.positive:
            self._spent(wanted)
        return answer

    def _spent(self, wanted: Release) -> None:
        try:
            self.agent.quarantine.drop(wanted.id, {wanted.recipient})
        except (OSError, ValueError) as error:
            # It is delivered, which no error must hide: who believes it was not releases it again.
            why = printable(str(error))
            self.agent.log.warning("released, and left in quarantine", id=wanted.id, error=why)


def _recipient(whom: HeldFor) -> Recipient:
    parameter = f" ORCPT={whom.orcpt}" if whom.orcpt else ""
    return parse_rcpt(f"TO:<{whom.address}>{parameter}", utf8=True)


class _Released(Delivery):
    """The delivery of a stored message to the one recipient of a token."""

    stage = RELEASE

    def __init__(
        self, agent: Agent, transaction: Transaction, message: Held, whom: HeldFor, wanted: Release
    ) -> None:
        provenance = Provenance(
            message.reference,
            message.queue_id,
            message.channel,
            message.time,
            message.findings,
            message.fault,
        )
        super().__init__(replace(agent, judge=None), transaction, provenance)
        # What his filter would say by now is no reason to keep what he asks for.
        self._judgement = Known(Found(whom.found, whom.shadow))
        self.past = frozenset(wanted.rules)
        self.marks["released"] = wanted.id
        self.marks["by"] = wanted.by
        self.marks["past"] = " ".join(f"{check}:{band}" for check, band in wanted.rules)
        self._enforced = {why.rule for why in whom.reasons if why.enforced}
        self._wanted = wanted
        self._message = message

    def carry_out(self, deadline: Deadline) -> Reply:
        """Deliver, if the recipient is still one and nothing else keeps the message."""
        self._deadline = deadline
        until = self._deadline.sooner(DIRECTORY)
        try:
            [target] = find_targets(self._agent.directory, self._transaction.recipients, until)
        except DirectoryUnavailable:
            return NO_DIRECTORY
        if not target.known:
            return UNKNOWN
        one = self._changed(self._outcome(target))
        refusal = self._forbidden(target) or _held(one, original=self._message.original)
        if refusal:
            return refusal
        results = self._account.recorded(self._forwarded([one]), self._deadline)
        self._account.told(results)
        [answer] = (result.reply for result in results)
        return answer

    def _late(self) -> bool:
        """Never: whoever releases it may come again."""
        return False

    def _forbidden(self, target: Target) -> Reply | None:
        """The refusal where who releases could not choose to have this delivered."""
        rights = self._wanted.rights
        if rights == Kind.SITE.value:
            return None
        above = self._agent.settings.layers(self._provenance.channel, LOCAL)
        if rights == Kind.USER.value:
            above = (*above, *target.layers[:1])
        for check, band in self._wanted.rules:
            if (check, band) in self._enforced or Action.DELIVER not in allowed(check, band, above):
                rule = printable(f"{check}:{band}", 100)
                return reply(
                    FORBIDDEN, "5.7.1", f"Not allowed past {rule}, it is not yours to choose"
                )
        return None


def _held(one: Outcome, *, original: bool) -> Reply | None:
    """What else keeps the message where it is; a rejection does, too: nobody waits to be told.

    What was kept as it was is not delivered without parts once more.
    """
    rests = one.decision.removals if original else ()
    if one.action in FORWARDED and one.decision.action in FORWARDED and not rests:
        return None
    if one.action is Action.DEFER and one.decision.action in FORWARDED:
        return reply(451, "4.3.0", printable("; ".join(("Not now", *one.decision.notes))))
    why = next(iter(rests), one.decision.decisive)
    if why is None:
        return reply(550, "5.7.0", printable("; ".join(("Still held", *one.decision.notes))))
    found = why.finding
    told = (
        f"Still held: {found.check}:{found.band} {why.action.word}, "
        f"{'enforced' if why.enforced else 'chosen'} by {why.layer}; {found.reason}"
    )
    return reply(550, "5.7.0", printable(told))
