"""The conversation with the next hop: an LMTP client (RFC 2033) on one connection.

Only what the server announced is sent. What it replies is passed on unchanged in code and text. A
conversation that breaks costs 451 for each recipient that has no reply by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from iems.model.address import Address, AddressError
from iems.serve.deadline import Deadline
from lmtp.commands import Mail, Recipient
from lmtp.dialogue import COMMAND, BrokenError, Dialogue
from lmtp.reply import Reply, reply
from lmtp.stuffing import END, stuffed

FINAL = 300.0
"""Seconds from the end of DATA to a reply; Dovecot waits up to two minutes for a mailbox lock."""

_TOGETHER = 128 << 10
"""Bytes of text that leave in one write."""

_SENSELESS = reply(451, "4.5.0", "Next hop gave a reply that makes no sense")
_UNREADABLE = reply(451, "4.3.0", "Message cannot be read from the spool")
_UNGREETED = reply(451, "4.3.2", "Next hop does not take mail now")
_UTF8 = reply(553, "5.6.7", "Next hop does not take this UTF-8 address")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One upstream transaction: an envelope, and bytes that are the same for all its recipients."""

    mail: Mail
    recipients: tuple[Recipient, ...]
    size: int
    pieces: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Delivered:
    """One reply for each recipient; `reports` says whether the server owes delivery reports."""

    replies: Sequence[Reply]
    reports: bool = False


class StaleError(BrokenError):
    """It broke before any part of the message was sent: another connection may be tried."""


class Client:
    """A connection that has been greeted. One thread uses it at a time."""

    def __init__(self, dialogue: Dialogue, extensions: frozenset[str]) -> None:
        self.usable = True
        """Whether another transaction may follow."""
        self._dialogue = dialogue
        self._extensions = extensions

    @classmethod
    def connect(cls, target: str, hostname: str, deadline: Deadline) -> Client:
        """A new connection to `unix:PATH` or `inet:HOST:PORT`, greeted as `hostname`."""
        dialogue = Dialogue.open(target, deadline)
        try:
            extensions = _greet(dialogue, hostname, deadline)
        except BrokenError:
            dialogue.close()
            raise
        return cls(dialogue, extensions)

    @property
    def alive(self) -> bool:
        """Whether the server has neither closed the connection nor said anything unasked."""
        return self._dialogue.alive

    def close(self) -> None:
        """End the connection."""
        self._dialogue.close()

    def deliver(self, parcel: Parcel, deadline: Deadline) -> Delivered:
        """One transaction; only StaleError is raised, and then no recipient has a reply."""
        answers = [_UTF8] * len(parcel.recipients)
        sender = self._path(parcel.mail.sender)
        paths = [self._path(recipient.address) for recipient in parcel.recipients]
        if sender is not None:
            sent = {at: path for at, path in enumerate(paths) if path is not None}
            for at, answer in self._transact(parcel, sender, sent, deadline).items():
                answers[at] = answer
        return Delivered(answers, "DSN" in self._extensions)

    def _transact(
        self, parcel: Parcel, sender: str, paths: dict[int, str], deadline: Deadline
    ) -> dict[int, Reply]:
        if not paths:
            return {}
        commands = [self._mail(parcel, sender)]
        commands += [self._rcpt(parcel.recipients[at], path) for at, path in paths.items()]
        try:
            mail, *rcpts, data = self._dialogue.ask(
                [*commands, "DATA"], deadline, together="PIPELINING" in self._extensions
            )
        except BrokenError as error:
            raise StaleError(error.answer) from None
        answers = dict(zip(paths, rcpts if mail.positive else [mail] * len(rcpts), strict=True))
        accepted = [at for at, answer in answers.items() if answer.positive]
        if data.code == 354 and accepted:
            answers.update(self._text(parcel, accepted, deadline))
        else:
            # What the server makes of the rest of this transaction is not worth a question.
            self.usable = False
            answers.update(dict.fromkeys(accepted, _SENSELESS if data.positive else data))
        return {at: _final(answer) for at, answer in answers.items()}

    def _text(self, parcel: Parcel, accepted: list[int], deadline: Deadline) -> dict[int, Reply]:
        """Send the message and collect one reply for each accepted recipient."""
        answers: dict[int, Reply] = {}
        try:
            for data in _together(stuffed(parcel.pieces())):
                self._dialogue.say(data, deadline)
            for at in accepted:
                answers[at] = self._dialogue.reply(FINAL, deadline)
        except BrokenError as error:
            self.usable = False
            return dict.fromkeys(accepted, error.answer) | answers
        except OSError:
            self.usable = False
            return dict.fromkeys(accepted, _UNREADABLE)
        return answers

    def _path(self, address: str) -> str | None:
        """The address as this server takes it: UTF-8 needs SMTPUTF8, or a domain as A-label."""
        if address.isascii() or "SMTPUTF8" in self._extensions:
            return address
        try:
            text = str(Address.parse(address))
        except AddressError:
            return None
        return text if text.isascii() else None

    def _mail(self, parcel: Parcel, sender: str) -> str:
        mail = parcel.mail
        words = [f"MAIL FROM:<{sender}>"]
        if "SIZE" in self._extensions:
            words.append(f"SIZE={parcel.size}")
        if mail.eight_bit and "8BITMIME" in self._extensions:
            words.append("BODY=8BITMIME")
        if mail.utf8 and "SMTPUTF8" in self._extensions:
            words.append("SMTPUTF8")
        if "DSN" in self._extensions:
            words += [f"RET={mail.ret}"] if mail.ret else []
            words += [f"ENVID={mail.envid}"] if mail.envid else []
        return " ".join(words)

    def _rcpt(self, recipient: Recipient, path: str) -> str:
        words = [f"RCPT TO:<{path}>"]
        if "DSN" in self._extensions:
            words += [f"NOTIFY={','.join(sorted(recipient.notify))}"] if recipient.notify else []
            words += [f"ORCPT={recipient.orcpt}"] if recipient.orcpt else []
        return " ".join(words)


def _greet(dialogue: Dialogue, hostname: str, deadline: Deadline) -> frozenset[str]:
    """The keywords that the server announces."""
    greeting = dialogue.reply(COMMAND, deadline)
    [answer] = dialogue.ask([f"LHLO {hostname}"], deadline, together=False)
    if not (greeting.positive and answer.positive):
        raise BrokenError(_UNGREETED)
    words = [line.split() for line in answer.lines[1:]]
    return frozenset(word[0].decode("ascii", "replace").upper() for word in words if word)


def _final(answer: Reply) -> Reply:
    """The reply as it may stand after DATA: 2xx, 4xx or 5xx."""
    return _SENSELESS if 300 <= answer.code < 400 else answer


def _together(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The pieces and the end of DATA, small ones joined."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _TOGETHER:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join([*held, END])
