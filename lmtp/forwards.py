"""What users forward to spam@ and ham@ of a domain of ours trains the filter of who sends it.

It stands before the agent, and takes such recipients out of a transaction: what is attached goes to
the daemon that trains, as it was attached, and 250 is said when that has all of it on disk. Whose
filter it is says the login that the milter has passed on, and no header. Who has not logged in, as
where a list leads here, trains nothing: that is taken and dropped, for a bounce would go to a
sender who may be forged; so is an automatic message. Who has logged in is told by a bounce why
nothing was trained.

Failure: a directory or daemon that does not answer is a temporary failure, and so is a defect of
ours; the other recipients have their mail. What was trained by then is known when the message comes
again.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from iems.codec.printable import printable
from iems.directory.reader import Directory, DirectoryUnavailable, User, user_of
from iems.directory.resolve import resolve
from iems.model.address import TRAINING, Address, AddressError
from iems.model.policy import Kind, Subject
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.store.records import Record
from iems.store.spool import Spooled
from lmtp import headers
from lmtp.agent import DIRECTORY, NO_DIRECTORY, TOTAL
from lmtp.attached import attached
from lmtp.commands import Recipient
from lmtp.learning.protocol import PeerError, Request, ask
from lmtp.provenance import Origin
from lmtp.reply import Reply, reply
from lmtp.transaction import Deliver, Transaction, automatic, shared_out

STAGE = "training"
"""Of the records; the action is what the messages are."""

MOST = 100
"""Messages attached to one: each is a request to the daemon, of some ms."""

LARGEST = 64 << 20
"""Bytes of a message that is looked into; it is in memory for that, in a worker one at a time."""

_TURN = 10.0
"""Seconds for those before it: a thread that waits here delivers no other mail."""

_ANSWER = 10.0
"""Seconds for the daemon to put one message on disk."""

_TAKEN = reply(250, "2.0.0", "Taken")
_LATE = reply(451, "4.3.0", "No time is left; try again")
_UNAVAILABLE = reply(451, "4.3.0", "Cannot be trained now")
_UNKNOWN = reply(550, "5.7.1", "Only who has a mailbox here has a filter to train")
_NONE = reply(550, "5.6.0", "No message is attached; forward what is to be trained as attachment")
_TOO_MANY = reply(550, "5.6.0", f"More than {MOST} messages are attached")
_TOO_LARGE = reply(552, "5.3.4", f"More than {LARGEST >> 20} MiB; forward fewer messages at once")


@dataclass(frozen=True, slots=True)
class Forwards:
    """Takes transactions before `rest` does; `socket` is that of the daemon."""

    rest: Deliver
    directory: Directory
    origin: Origin
    socket: Path
    log: Log
    record: Callable[[Record], None]
    """Takes what was answered, for `iems why`."""

    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """One reply for each recipient; those of another kind come first."""
        deadline = Deadline.after(TOTAL)
        until = deadline.sooner(DIRECTORY)
        try:
            asked = [self._asked(one, until) for one in transaction.recipients]
        except DirectoryUnavailable as error:
            self.log.warning("directory is not available", error=printable(str(error)))
            return [NO_DIRECTORY] * len(transaction.recipients)
        answers = [
            functools.partial(self._answer, transaction, one, label, deadline) if label else None
            for one, label in zip(transaction.recipients, asked, strict=True)
        ]
        return shared_out(transaction, answers, self.rest)

    def _asked(self, recipient: Recipient, deadline: Deadline) -> str:
        """`spam` or `ham`, where this recipient stands for it; empty where he does not."""
        address = _address(recipient.address)
        if address is None or address.local.casefold() not in TRAINING:
            return ""
        found = resolve(self.directory, address, deadline)
        return address.local.casefold() if any(one.training for one in found) else ""

    def _answer(
        self, transaction: Transaction, recipient: Recipient, label: str, deadline: Deadline
    ) -> Reply:
        block = headers.read(transaction.message.header)
        came = self.origin.of(block, transaction.forward.get("IDENT", ""))
        record = Record(
            reference=came.reference,
            stage=STAGE,
            action=label,
            recipient=recipient.address,
            queue_id=came.queue_id,
            message_id=headers.message_id(block),
            channel=came.channel,
            client=transaction.forward.get("ADDR", ""),
            sender=transaction.mail.sender,
        )
        told = {"reference": came.reference, "queue_id": came.queue_id, "label": label}
        if not came.login or automatic(transaction):
            why = "it is an automatic message" if came.login else came.fault or "nobody logged in"
            self.log.warning("forward trains nothing", **told, why=why)
            note = f"nothing is trained: {why}"
            self.record(replace(record, reply=str(_TAKEN), details={"notes": [note]}))
            return _TAKEN
        try:
            user = self._user(came.login, deadline.sooner(DIRECTORY))
            answer, count = self._trained(transaction.message, user, label, deadline)
        except DirectoryUnavailable as error:
            self.log.warning("directory is not available", error=printable(str(error)))
            return NO_DIRECTORY
        except Exception as error:  # noqa: BLE001 - others have had the message, and must not have it anew
            self.log.failure("forward failed", error, **told)
            return _UNAVAILABLE
        whose = str(user.address) if user else came.login
        self.log.info("forward", **told, user=whose, messages=count, reply=str(answer))
        note = f"attached messages that the filter of {whose} is trained by: {count}"
        subject = str(Subject(Kind.USER, whose))
        self.record(replace(record, subject=subject, reply=str(answer), details={"notes": [note]}))
        return answer

    def _user(self, login: str, deadline: Deadline) -> User | None:
        """Whose login it is."""
        address = _address(login)
        if address is None:
            return None
        return user_of(self.directory.find([address], deadline).get(address.key))

    def _trained(
        self, message: Spooled, user: User | None, label: str, deadline: Deadline
    ) -> tuple[Reply, int]:
        """The reply, and how many messages the daemon has taken."""
        if user is None or message.size > LARGEST:
            return (_TOO_LARGE if user else _UNKNOWN), 0
        if not self._turn.acquire(timeout=deadline.sooner(_TURN).remaining()):
            return _LATE, 0
        try:
            found = list(attached(b"".join((message.header, *message.body.pieces()))))
            if not 0 < len(found) <= MOST:
                return (_TOO_MANY if found else _NONE), 0
            return self._told(found, user, label, deadline)
        finally:
            self._turn.release()

    def _told(
        self, messages: Sequence[bytes], user: User, label: str, deadline: Deadline
    ) -> tuple[Reply, int]:
        wanted = Request("train", user.address.key, {"label": label, "source": "forward"})
        for count, message in enumerate(messages):
            if deadline.expired:
                return _LATE, count
            try:
                answer = ask(self.socket, wanted, message, deadline.sooner(_ANSWER))
            except PeerError as error:
                self.log.warning("trainer is not available", error=printable(str(error)))
                return _UNAVAILABLE, count
            if not answer.done:
                self.log.warning("trainer refuses", user=user.address, why=printable(answer.text))
                return _UNAVAILABLE, count
        return _TAKEN, len(messages)


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None
