"""One LMTP connection: commands in, replies out (RFC 2033, RFC 2920, RFC 5321).

The session knows the protocol and nothing of policy. It accepts every recipient; what becomes of
each is said after DATA, one reply per accepted recipient. Whatever goes wrong while a message is
taken or delivered costs a delay (4xx), and no client is told what an exception said.

One command is our own: `XRELEASE TOKEN` delivers a message out of quarantine (`lmtp.release`), and
its reply says what became of it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from iems.serve.log import Log
from iems.store.records import new_reference
from iems.store.spool import Incoming, Spool, TooLargeError
from lmtp.commands import (
    FORWARD_NAMES,
    CommandError,
    Mail,
    Recipient,
    parse_mail,
    parse_rcpt,
    parse_xforward,
)
from lmtp.reply import Reply, reply
from lmtp.transaction import Deliver, Transaction
from lmtp.wire import DisconnectedError, LineTooLongError, SilentError, Wire

LINE = 2048
"""Bytes of a command: 512 of RFC 5321, 10 of RFC 6531, 500 + 28 of RFC 3461, 512 of XFORWARD."""

EXPECTED = 5.0
"""Seconds in which a client that has begun may go on to a transaction in a draining worker."""

_OK = reply(250, "2.0.0", "OK")
_BYE = reply(221, "2.0.0", "Bye")
_START = Reply(354, (b"End data with <CR><LF>.<CR><LF>",))
_SENDER_OK = reply(250, "2.1.0", "OK")
_RECIPIENT_OK = reply(250, "2.1.5", "OK")
_DRAINING = reply(421, "4.3.2", "Service is being restarted, connect again")
_IDLE = reply(421, "4.4.2", "Nothing was said for too long")
_ERRORS = reply(421, "4.7.0", "Too many errors")
_TOO_MANY = reply(452, "4.5.3", "Too many recipients")
_TOO_LARGE = reply(552, "5.3.4", "Message or its header is too large")
_NO_SPACE = reply(452, "4.3.1", "No space to take the message")
_SEQUENCE = reply(503, "5.5.1", "Bad sequence of commands")
_UNKNOWN = reply(500, "5.5.2", "Command not recognised")
_SYNTAX = reply(501, "5.5.2", "Not UTF-8")
_LONG = reply(500, "5.5.2", "Line too long")
_ARGUMENT = reply(501, "5.5.4", "No argument expected")
_VERIFY = reply(252, "2.1.5", "Send it, then it will be known")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection; `idle` in seconds, `message` in bytes."""

    message: int
    recipients: int = 1000
    errors: int = 20
    idle: float = 300.0
    """RFC 5321 section 4.5.3.2.7."""


class Session:
    """The state of one connection; `run` is called once, in a thread of its own."""

    def __init__(
        self,
        wire: Wire,
        hostname: str,
        spool: Spool,
        agent: Deliver,
        release: Callable[[str], Reply],
        log: Log,
        limits: Limits,
    ) -> None:
        self._lock = threading.Lock()
        """Held where it is settled whether the session or `leave` comes first at a boundary."""
        self._leaving = False
        self._closing = False
        self._resting = False
        # Whether the client has begun something: it connected, or a command was answered that
        # ended no transaction. Postfix tries a connection that it kept with RSET, and takes a
        # message out of the queue for it; one that ends after the RSET defers that message.
        self._expectant = True
        self._spoke = time.monotonic()
        self._wire = wire
        self._hostname = hostname
        self._spool = spool
        self._agent = agent
        self._release = release
        self._log = log
        self._limits = limits
        self._errors = 0
        self._greeted = False
        self._forward: dict[str, str] = {}
        self._mail: Mail | None = None
        self._recipients: list[Recipient] = []
        self._commands: Mapping[str, Callable[[str], Reply | None]] = {
            "LHLO": self._lhlo,
            "XFORWARD": self._xforward,
            "MAIL": self._mail_from,
            "RCPT": self._rcpt_to,
            "DATA": self._data,
            "XRELEASE": self._xrelease,
            "RSET": self._rset,
            "NOOP": lambda _argument: _OK,
            "VRFY": lambda _argument: _VERIFY,
        }

    def run(self) -> None:
        """Serve until the client leaves, is silent, or has to leave."""
        try:
            self._wire.patience(self._limits.idle)
            self._send(Reply(220, (f"{self._hostname} LMTP".encode("ascii"),)))
            last = None
            while last is None:
                last = self._step()
            self._send(last)
            self._wire.flush()
        except SilentError:
            self._farewell(_IDLE)
        except DisconnectedError:
            if self._closing:
                self._farewell(_DRAINING)

    def leave(self) -> bool:
        """End after what is under way; True where nothing is, and reading may be cut short.

        Called by the server's thread, again and again while it drains.
        """
        with self._lock:
            self._leaving = True
            waited = time.monotonic() - self._spoke
            if self._resting and (not self._expectant or waited > EXPECTED):
                self._closing = True
            return self._closing

    def _step(self) -> Reply | None:
        """Read and answer one command; a reply that is returned is the last one."""
        try:
            line = self._next()
        except LineTooLongError:
            return self._fault(_LONG)
        except CommandError as error:
            return self._fault(error.answer)
        if line is None:
            return _DRAINING
        verb, _blank, argument = line.partition(" ")
        command = self._commands.get(verb.upper())
        if command is None:
            return _BYE if verb.upper() == "QUIT" else self._fault(_UNKNOWN)
        try:
            answer = command(argument.strip(" "))
        except CommandError as error:
            return self._fault(error.answer)
        if answer is not None:
            self._send(answer)
        return None

    def _next(self) -> str | None:
        """The next command, or None where the session is to end before it."""
        resting = self._mail is None and self._wire.idle
        with self._lock:
            if resting and self._leaving and not self._expectant:
                return None
            self._resting = resting
        line = self._wire.line(LINE)
        with self._lock:
            self._resting = False
            self._expectant, self._spoke = True, time.monotonic()
            if self._closing:
                return None
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            raise CommandError(_SYNTAX) from None

    def _fault(self, answer: Reply) -> Reply | None:
        self._errors += 1
        if self._errors > self._limits.errors:
            return _ERRORS
        self._send(answer)
        return None

    def _send(self, answer: Reply) -> None:
        self._wire.send(answer.wire)

    def _farewell(self, answer: Reply) -> None:
        with contextlib.suppress(DisconnectedError):
            self._send(answer)
            self._wire.flush()

    def _lhlo(self, argument: str) -> Reply:
        if not argument:
            raise CommandError(reply(501, "5.5.4", "LHLO needs a name"))
        self._reset()
        self._greeted = True
        words = (
            self._hostname,
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            f"SIZE {self._limits.message}",
            f"XFORWARD {' '.join(FORWARD_NAMES)}",
            "XRELEASE",
        )
        return Reply(250, tuple(word.encode("ascii") for word in words))

    def _xforward(self, argument: str) -> Reply:
        if not self._greeted or self._mail:
            raise CommandError(_SEQUENCE)
        self._forward.update(parse_xforward(argument))
        return _OK

    def _mail_from(self, argument: str) -> Reply:
        if not self._greeted or self._mail:
            raise CommandError(_SEQUENCE)
        mail = parse_mail(argument)
        if mail.size > self._limits.message:
            return _TOO_LARGE
        self._mail = mail
        return _SENDER_OK

    def _rcpt_to(self, argument: str) -> Reply:
        if self._mail is None:
            raise CommandError(_SEQUENCE)
        if len(self._recipients) >= self._limits.recipients:
            return _TOO_MANY
        self._recipients.append(parse_rcpt(argument, utf8=self._mail.utf8))
        return _RECIPIENT_OK

    def _data(self, argument: str) -> None:
        if argument:
            raise CommandError(_ARGUMENT)
        if self._mail is None or not self._recipients:
            raise CommandError(_SEQUENCE)
        self._send(_START)
        with self._spool.receive(self._limits.message) as incoming:
            replies = self._take(incoming, self._mail, tuple(self._recipients))
        for answer in replies:
            self._send(answer)
        self._reset()
        self._expectant = False

    def _xrelease(self, argument: str) -> Reply:
        if not self._greeted or self._mail:
            raise CommandError(_SEQUENCE)
        try:
            answer = self._release(argument)
        except Exception as error:  # noqa: BLE001 - who asks must be told that it did not happen
            answer = self._failed("release failed", error)
        self._expectant = False
        return answer

    def _rset(self, argument: str) -> Reply:
        if argument:
            raise CommandError(_ARGUMENT)
        self._reset()
        return _OK

    def _reset(self) -> None:
        self._mail = None
        self._recipients = []
        self._forward = {}

    def _take(
        self, incoming: Incoming, mail: Mail, recipients: tuple[Recipient, ...]
    ) -> Sequence[Reply]:
        problem: Reply | None = None
        for piece in self._wire.text():
            # What cannot be kept is still read to its end: only then may the client be answered.
            if problem is None:
                problem = self._keep(incoming, piece)
        if problem is not None:
            return [problem] * len(recipients)
        return self._deliver(incoming, mail, recipients)

    def _keep(self, incoming: Incoming, piece: bytes) -> Reply | None:
        try:
            incoming.write(piece)
        except TooLargeError:
            incoming.close()
            return _TOO_LARGE
        except OSError as error:
            incoming.close()
            self._log.error("the spool does not take a message", error=error)
            return _NO_SPACE
        return None

    def _deliver(
        self, incoming: Incoming, mail: Mail, recipients: tuple[Recipient, ...]
    ) -> Sequence[Reply]:
        try:
            transaction = Transaction(mail, recipients, self._forward, incoming.finish())
            return _one_each(self._agent.deliver(transaction), recipients)
        except Exception as error:  # noqa: BLE001 - the client must be told to keep the message
            queue_id = self._forward.get("IDENT", "")
            return [self._failed("delivery failed", error, queue_id=queue_id)] * len(recipients)

    def _failed(self, text: str, error: Exception, **fields: object) -> Reply:
        reference = new_reference()
        self._log.failure(text, error, reference=reference, **fields)
        return reply(451, "4.3.0", f"Internal error; ref={reference}")


def _one_each(replies: Sequence[Reply], recipients: tuple[Recipient, ...]) -> Sequence[Reply]:
    if len(replies) != len(recipients):
        raise RuntimeError(f"{len(replies)} replies to {len(recipients)} recipients")
    return replies
