"""ClamAV's clamd, asked by its command INSTREAM: are these octets infected, and by what?

clamd takes mail, archives and documents apart by itself. That a message is one it sees by its first
bytes: whoever scans a message gives it with `MAIL` before it. Names under which clamd tells what it
was set to tell (`AlertEncrypted`, `AlertExceedsMax`) and which are no viruses are told apart. An
answer that is not whole, or none of those that clamd gives, is no verdict.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.engines.engine import EngineError
from milters.engines.link import exchange
from milters.engines.scanner import Octets, Scanned, Verdict, named

MAIL = b"From iems\n"
"""The first line of a mailbox. Behind some KiB of header fields that clamd does not know it took a
message for text, and found nothing in it; with this line it did."""

_ANSWER = re.compile(rb"stream: (?:OK|([!-~][ -~]{0,300}) FOUND)\0")
_TOO_LARGE = b"INSTREAM size limit exceeded. ERROR\0"
_VERSION = re.compile(rb"ClamAV [ -.0-~]{1,100}(?:/\d{1,9}/([ -~]{1,50}))?\0")
_TIME = "%a %b %d %H:%M:%S %Y"
"""As ctime(3) writes it: `ClamAV 1.4.6/27400/Fri Nov 27 10:00:00 2026`."""

_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class Clamd:
    """One clamd."""

    server: Server

    def scan(self, octets: Octets, deadline: Deadline) -> Scanned:
        """What it says by the deadline; EngineError."""
        return read_answer(exchange(self.server, _request(octets), deadline))

    def ping(self, deadline: Deadline) -> str:
        """Why it does not answer; empty where it does."""
        try:
            self.signed(deadline)
        except EngineError as error:
            return str(error)
        return ""

    def signed(self, deadline: Deadline) -> float | None:
        """When its signatures were made, in seconds of the epoch; None where it does not say.

        EngineError where it does not answer. It tells the time of its own zone, which is ours.
        """
        found = _VERSION.fullmatch(exchange(self.server, [b"zVERSION\0"], deadline))
        if found is None:
            raise EngineError("does not speak the protocol of clamd")
        try:
            return time.mktime(time.strptime((found[1] or b"").decode("ascii"), _TIME))
        except (ValueError, OverflowError):
            return None


def read_answer(answer: bytes) -> Scanned:
    """The verdict of an answer to INSTREAM; EngineError."""
    if answer == _TOO_LARGE:
        return Scanned(Verdict.UNSCANNED, "larger than StreamMaxLength")
    found = _ANSWER.fullmatch(answer)
    if found is None:
        raise EngineError(_fault(answer))
    if found[1] is None:
        return Scanned(Verdict.CLEAN)
    return named(found[1].decode("ascii"))


def _fault(answer: bytes) -> str:
    if not answer:
        return "closes the connection without an answer"
    if not answer.endswith(b"\0"):
        return "gives an answer that is not whole"
    return "answers with an error" if answer.endswith(b" ERROR\0") else "gives no verdict"


def _request(octets: Octets) -> Iterator[bytes]:
    yield b"zINSTREAM\0"
    for piece in octets.pieces():
        for at in range(0, len(piece), _PIECE):
            part = piece[at : at + _PIECE]
            yield struct.pack("!L", len(part)) + part
    yield struct.pack("!L", 0)
