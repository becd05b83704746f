"""A golden script as SMTP through a real Postfix: what its client and its recipients see.

The client's address, names and login are given by XCLIENT, which has no word for a forged name; the
message that goes on is caught behind Postfix. An MTA that vanishes is, from here, a client that
does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from iems.codec.header import parse_header, split_message
from tests.fakemta.filter import CONTINUE
from tests.fakemta.message import HeaderField, Message
from tests.fakemta.script import (
    Body,
    Command,
    Connect,
    Data,
    Drop,
    End,
    EndOfHeaders,
    Header,
    Helo,
    Line,
    Mail,
    Quit,
    Rcpt,
    Rset,
    Vanish,
)
from tests.fakemta.session import Step
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import Client, Reply

_QUEUED = re.compile(r"queued as (\S+)")
_NAMES: Mapping[str, str] = {
    "FAIL": "[UNAVAILABLE]",
    "TEMP": "[TEMPUNAVAIL]",
}


@dataclass
class PostfixSession:
    """Runs scripts; `ports` are Postfix's listeners by the name of their source channel."""

    ports: Mapping[str, int]
    sink: Sink
    _client: Client | None = None
    _content: bool = False
    _header: bool = False
    _helo: str = ""

    def run(self, lines: tuple[Line, ...]) -> Iterator[Step]:
        """Run all commands in order."""
        try:
            for line in lines:
                yield self._step(line)
        finally:
            if self._client is not None:
                self._client.drop()

    def _step(self, line: Line) -> Step:
        answer = self._command(line.command)
        queued = _QUEUED.search(answer.text) if answer and answer.code == 250 else None
        message = self._caught(queued.group(1)) if queued else None
        return Step(line, _plain(answer) if answer else "", (), message)

    def _command(self, command: Command) -> Reply | None:
        match command:
            case Connect():
                return self._connect(command)
            case Helo(name):
                self._helo = name
                return self._open().command(f"EHLO {name}")
            case Mail(sender):
                return self._mail(command, sender)
            case Rcpt(recipient):
                return self._open().command(f"RCPT TO:{recipient}")
            case Data():
                return self._data()
            case Header(name, value):
                self._write(name + b":" + value + b"\r\n", header=True)
            case EndOfHeaders():
                self._write(b"\r\n")
            case Body(line):
                self._write((b"" if not self._header else b"\r\n") + line + b"\r\n")
            case End():
                return self._end()
            case Rset():
                return self._open().command("RSET")
            case Quit():
                self._open().close()
                self._client, self._content = None, False
            case Drop() | Vanish():
                self._open().drop()
                self._client, self._content = None, False
        return None

    def _connect(self, command: Connect) -> Reply:
        if self._client is None:
            self._client = Client(self.ports[command.daemon])
        spelt = f"IPV6:{command.address}" if ":" in command.address else command.address
        name = _NAMES.get(command.resolved, command.name)
        reverse = command.ptr or ("[UNAVAILABLE]" if command.resolved == "FAIL" else name)
        words = [f"ADDR={spelt}", f"NAME={name}", f"REVERSE_NAME={reverse}", "LOGIN=[UNAVAILABLE]"]
        return self._open().command(f"XCLIENT {' '.join(words)}")

    def _mail(self, command: Mail, sender: str) -> Reply:
        client = self._open()
        if command.auth:
            client.command(f"XCLIENT LOGIN={command.auth}")
            client.command(f"EHLO {self._helo}")
        # Recipients in UTF-8 may follow.
        return client.command(f"MAIL FROM:{sender} SMTPUTF8")

    def _data(self) -> Reply:
        answer = self._open().command("DATA")
        self._content, self._header = answer.code == 354, True
        return answer

    def _write(self, octets: bytes, *, header: bool = False) -> None:
        if not self._content:
            self._data()
        if self._content:
            self._open().raw(octets)
        self._header = header

    def _end(self) -> Reply:
        if not self._content:
            return self._data()
        self._content = False
        self._open().raw(b".\r\n")
        return self._open().reply()

    def _open(self) -> Client:
        assert self._client is not None, "a command comes before connect"
        return self._client

    def _caught(self, queue_id: str) -> Message:
        caught = self.sink.wait(queue_id)
        header, body = split_message(caught.message)
        message = Message(caught.sender, list(caught.recipients))
        for one in parse_header(header).fields:
            own = b"(Postfix)" in one.value and queue_id.encode() in one.value
            value = one.value.replace(b"\r\n", b"\n")
            message.header.append(HeaderField(one.name, value, own=own))
        message.body = [body.removeprefix(b"\r\n")]
        return message


def _plain(reply: Reply) -> str:
    return CONTINUE if reply.code in {220, 250, 354} else str(reply)
