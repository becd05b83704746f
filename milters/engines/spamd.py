"""SpamAssassin's spamd, asked by its command SYMBOLS: a score and the names of the rules.

SpamAssassin reads who the client was from the topmost Received field, which Postfix adds only
behind its milters; so one stands above the message that it gets, and the sender in Return-Path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.engines.engine import EngineError, Mail, Verdict, word
from milters.engines.link import content, exchange

_STATUS = re.compile(rb"SPAMD/\d{1,2}\.\d{1,2} (\d{1,3}) ")
_SPAM = re.compile(
    rb"spam:\s*(?:true|false|yes|no)\s*;\s*(-?\d{1,6}(?:\.\d{1,6})?)\s*/", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Spamd:
    """One spamd."""

    server: Server

    def scan(self, mail: Mail, deadline: Deadline) -> Verdict:
        """Its verdict by the deadline; EngineError."""
        # It reads lines: of a message without a last line end it would wait for more.
        return read_answer(exchange(self.server, _request(mail), deadline, ended=True))

    def ping(self, deadline: Deadline) -> str:
        """Why it does not answer; empty where it does."""
        try:
            answer = exchange(self.server, [b"PING SPAMC/1.5\r\n\r\n"], deadline)
        except EngineError as error:
            return str(error)
        status = _STATUS.match(answer)
        return "" if status and not int(status[1]) else "does not speak the protocol of spamd"


def read_answer(answer: bytes) -> Verdict:
    """The verdict of an answer to SYMBOLS; EngineError."""
    lines, body = content(answer)
    status = _STATUS.match(lines[0])
    if status is None:
        raise EngineError("does not speak the protocol of spamd")
    if int(status[1]):
        raise EngineError(f"answers with error {int(status[1])}")
    scores = [float(found[1]) for found in map(_SPAM.match, lines[1:]) if found]
    if len(scores) != 1:
        raise EngineError("tells no score")
    rules = body.decode("ascii", "replace").strip()
    return Verdict(scores[0], tuple(rules.split(",")) if rules else ())


def _request(mail: Mail) -> Iterator[bytes]:
    message = mail.message
    added = _added(mail)
    yield b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % (len(added) + message.size)
    yield added
    yield message.header
    yield from message.body.pieces()


def _added(mail: Mail) -> bytes:
    """The two fields, in the form in which Postfix writes them."""
    fields = f"Return-Path: <{word(mail.sender)}>\r\n"
    if mail.ip:
        address = f"IPv6:{word(mail.ip)}" if ":" in mail.ip else word(mail.ip)
        client = f"{word(mail.helo) or 'unknown'} ({word(mail.name) or 'unknown'} [{address}])"
        protocol = "ESMTPA" if mail.user else "ESMTP"
        fields += f"Received: from {client}\r\n\tby {mail.host} (Postfix) with {protocol}"
        fields += f" id 0; {formatdate()}\r\n"
    return fields.encode("ascii")
