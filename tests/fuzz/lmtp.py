"""Laws of the agent's side towards Postfix: a whole connection, over a real socket."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from iems.codec.release import ReleaseError, decode
from iems.store.spool import Spool
from lmtp import headers
from lmtp.commands import CommandError, parse_mail, parse_rcpt, parse_xforward
from lmtp.provenance import Origin
from lmtp.reply import Reply, reply
from lmtp.session import Limits, Session
from lmtp.stuffing import END, stuffed
from lmtp.transaction import Transaction
from lmtp.wire import Unstuffer, Wire
from tests.unit.lmtp.parts import Heard

_MOST = 4096
"""Bytes of a conversation: all that is answered must fit into the socket's buffer."""

_REPLY = re.compile(rb"(?:[2-5]\d\d-[ -~]*\r\n)*[2-5]\d\d [ -~]*\r\n")
_LAST = re.compile(rb"^\d\d\d ", re.MULTILINE)
_DATA = re.compile(rb"data *\r\n", re.IGNORECASE)
_DOT = re.compile(rb"(?:(?<=\r\n)|\A)\.")
_KEPT = 300_000
_OK = reply(250, "2.0.0", "Saved")
HOST = "mail.example.test"


class _Keeper:
    """An agent that does with a message all that ours does before it asks anybody."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.answered = 0
        self._origin = Origin(HOST, {"k1": b"k" * 32}.get, (), lambda: "REF0123456789")

    def deliver(self, transaction: Transaction) -> Sequence[Reply]:
        """See `Deliver`."""
        text = b"".join(transaction.message.body.pieces())
        self.taken.append(transaction.message.header + text)
        self.answered += len(transaction.recipients)
        block = headers.read(transaction.message.header)
        provenance = self._origin.of(block, transaction.forward.get("IDENT", ""))
        assert provenance.fault, "nobody but the milter has the key"
        copy = headers.clean(block, HOST).copy(b"X-IEMS-Verdict: junk; ref=REF0123456789\r\n")
        sent = b"".join(stuffed([copy, text])) + END
        assert Unstuffer().feed(sent + b"QUIT")[1] == b"QUIT"
        for one in transaction.recipients:
            headers.original_field(one.original, None)
        return [_OK] * len(transaction.recipients)


def _released(token: str) -> Reply:
    """Nobody but `iems` has the key."""
    try:
        decode(token, {"k1": b"k" * 32}.get, 1e9)
    except ReleaseError:
        return reply(535, "5.7.8", "Token is not valid")
    raise AssertionError(token)


def lmtp(data: bytes) -> None:
    """Every command has a reply, each message one a recipient, and none ends but at CRLF.CRLF."""
    data = data[:_MOST]
    agent, log = _Keeper(), Heard()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        limits = Limits(message=_KEPT, idle=5.0)
        spool = Spool(Path("/nonexistent"))
        Session(Wire(ours), HOST, spool, agent, _released, log, limits).run()
        ours.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
    assert _REPLY.sub(b"", said) == b"", said
    answers = len(_LAST.findall(said))
    assert answers <= 1 + data.count(b"\r\n") + agent.answered, "a command ended elsewhere"
    assert set(agent.taken) <= set(_messages(data)), "a message ended elsewhere"
    assert not [line for line in log.lines if "failed" in line], log.lines


def _messages(data: bytes) -> Iterator[bytes]:
    """All that may be a message: from behind a DATA to the first CRLF.CRLF, dots taken away."""
    for found in _DATA.finditer(data):
        start = found.end()
        end = data.find(b"\r\n.\r\n", start - 2)
        if end >= 0:
            yield _DOT.sub(b"", data[start : max(start, end + 2)])


def commands(data: bytes) -> None:
    """A line is a command or a CommandError; nothing that it holds can end a line."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_mail, parse_xforward, lambda one: parse_rcpt(one, utf8=True)):
        for line in (text, f"FROM:<{text}>", f"TO:<{text}>", f"IDENT={text}"):
            try:
                parse(line)
                code = 250
            except CommandError as error:
                code = error.answer.code
            assert code in {250, 501, 553, 555}
