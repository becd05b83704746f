"""What users ask for by mail: a message to a signed address lets another one out of quarantine, or
ends the daily digests of its user.

It stands before the agent, and takes such recipients out of a transaction. The content of the
message is not looked at and not kept; neither is who sent it, for the address is the proof, and
every bounce to a sender who may be forged would be backscatter. So what is asked is answered 250,
done or not, but for what may be done later (4xx). A wrong address and a spent one look the same.
Where a good one cannot be followed, its user is told by mail. What has the form of such an address
in a domain that is not ours is another site's, and the agent's like any other.

An automatic message (RFC 3834) asks for nothing: a bounce, or the vacation reply to a digest.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from iems.codec.printable import printable
from iems.codec.release import Release
from iems.codec.signed import OffRequest, ReleaseRequest, Request, request
from iems.directory.authority import Actor, Audit, Thing
from iems.directory.reader import DirectoryUnavailable
from iems.model.address import Address
from iems.model.policy import Kind, Subject
from iems.notices.postmaster import NoticeError, Writer
from iems.serve.deadline import Deadline
from iems.store.digest import DigestError, Digests
from iems.store.held import held
from lmtp.agent import DIRECTORY, NO_DIRECTORY, TOTAL, Agent
from lmtp.commands import Recipient
from lmtp.release import MISSING, Releases
from lmtp.reply import Reply, reply
from lmtp.transaction import Transaction, automatic, shared_out

NOTICE = "not-released"
BY = "mail"
"""Who released it, in records and audit."""

_TAKEN = reply(250, "2.0.0", "Taken")
_LATE = reply(451, "4.3.0", "No time is left; try again")
_UNREADABLE = reply(451, "4.3.0", "Not possible now")


@dataclass(frozen=True, slots=True)
class ByMail:
    """Takes transactions as the agent does; `secrets` are the keys that addresses are made with,
    `digests` is the file of who wants none.
    """

    agent: Agent
    releases: Releases
    secrets: Collection[bytes]
    digests: Path
    notifier: Writer
    audit: Audit

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """One reply for each recipient; those of another kind come first."""
        deadline = Deadline.after(TOTAL)
        try:
            asked = self._asked(transaction.recipients, deadline)
        except DirectoryUnavailable as error:
            self.agent.log.warning("directory is not available", error=printable(str(error)))
            return [NO_DIRECTORY] * len(transaction.recipients)
        requests = len(asked) - asked.count(None)
        dropped = requests > 0 and automatic(transaction)
        if dropped:
            self.agent.log.warning("request by an automatic message", requests=requests)

        def answer(wanted: Request) -> Reply:
            return _TAKEN if dropped else self._answer(wanted, deadline)

        answers = [functools.partial(answer, one) if one else None for one in asked]
        return shared_out(transaction, answers, self.agent)

    def _asked(self, recipients: Sequence[Recipient], deadline: Deadline) -> list[Request | None]:
        """What each recipient's address asks for, in a domain of ours."""
        asked = [request(one.address) for one in recipients]
        domains = {one.user.domain for one in asked if one}
        until = deadline.sooner(DIRECTORY)
        ours = self.agent.directory.domains(domains, until) if domains else {}
        return [one if one and one.user.domain in ours else None for one in asked]

    def _answer(self, asked: Request, deadline: Deadline) -> Reply:
        if deadline.expired:
            return _LATE
        return self._off(asked) if isinstance(asked, OffRequest) else self._release(asked, deadline)

    def _off(self, wanted: OffRequest) -> Reply:
        if not wanted.signed_by(self.secrets):
            self.agent.log.warning("end of digests refused", user=wanted.user)
            return _TAKEN
        try:
            with closing(Digests(self.digests)) as digests:
                digests.refuse(wanted.user.key)
        except DigestError as error:
            self.agent.log.warning("digests are not available", error=printable(str(error)))
            return _UNREADABLE
        self._audited(wanted.user, "set", "digest", "off")
        return _TAKEN

    def _release(self, request: ReleaseRequest, deadline: Deadline) -> Reply:
        try:
            wanted = self._wanted(request)
        except OSError as error:
            why = printable(str(error))
            self.agent.log.warning("quarantine is not available", id=request.id, error=why)
            return _UNREADABLE
        answer = self.releases.carry_out(wanted, deadline) if wanted else MISSING
        if wanted is None or answer == MISSING:  # or another one who asks the same was faster
            self.agent.log.warning("release by mail refused", user=request.user)
            return _TAKEN
        if answer.temporary:
            return answer
        result = "done" if answer.positive else str(answer)
        self._audited(request.user, "release", "quarantine", f"{wanted.id} {result}")
        if not answer.positive:
            self._tell(request.user, wanted.id, answer)
        return _TAKEN

    def _wanted(self, request: ReleaseRequest) -> Release | None:
        """The release that the address stands for; None where it stands for none."""
        try:
            message = held(self.agent.quarantine.describe(request.id))
        except (FileNotFoundError, ValueError):
            return None
        for one in message.recipients:
            rule = one.decisive or ("", "")
            if request.signed_by(self.secrets, one.address, rule):
                past = (rule,) if one.decisive else ()
                now = int(self.agent.now())
                return Release(request.id, one.address, past, Kind.USER.value, BY, now)
        return None

    def _audited(self, user: Address, verb: str, kind: str, result: str) -> None:
        actor = Actor(Subject(Kind.USER, user.key), login=BY)
        self.audit(actor, verb, Thing(kind, user.key), result)

    def _tell(self, user: Address, name: str, answer: Reply) -> None:
        try:
            self.notifier.write(user, NOTICE, id=name, why=str(answer))
        except NoticeError as error:
            self.agent.log.warning("notice not sent", notice=NOTICE, to=user, error=str(error))
