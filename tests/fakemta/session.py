"""The MTA's side of one SMTP connection: runs a script's commands against a filter, as Postfix.

- The filter hears no queue id up to and including the first accepted recipient.
- A refused recipient does not end the message; without any recipient there is no DATA.
- After a refused MAIL, a refused message, RSET and a lost client the filter gets an abort.
- A connection carries many messages; XCLIENT ends the filter's connection and opens another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from tests.fakemta.filter import ACCEPT, CONTINUE, DISCARD, Filter, Verdict
from tests.fakemta.message import Edit, HeaderField, Message
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

HOST = "mail.example.test"
NO_RECIPIENTS = "554 5.5.1 Error: no valid recipients"


@dataclass(frozen=True)
class Step:
    """What became of one line of a script; `answer` is empty where nobody waits for one."""

    line: Line
    answer: str = ""
    edits: tuple[Edit, ...] = ()
    message: Message | None = None
    """The message as it goes on, where it does."""


@dataclass
class Session:
    """The connections of one script, one after the other; each has a filter connection of its own.

    `new_filter` opens one; `transport` is mailer and next hop that recipients resolve to.
    """

    new_filter: Callable[[], Filter]
    transport: tuple[str, str] = ("iems-lmtp", "unix:iems/lmtp.sock")
    one_filter: bool = False
    """Another client is told on the filter's connection: no Postfix, but what a chain may hear."""
    _filter: Filter | None = None
    _client: Connect | None = None
    _message: Message | None = None
    _sender: Mail | None = None
    _refused: str = ""
    _count: int = 0

    def run(self, lines: tuple[Line, ...]) -> list[Step]:
        """Run all commands; a script that does not end its last connection is ended by `quit`."""
        steps = [self._step(line) for line in lines]
        if self._filter is not None:
            self._quit()
        return steps

    @property
    def filter(self) -> Filter:
        """The filter's connection; AssertionError where the client has none."""
        assert self._filter is not None, "a command comes before connect"
        return self._filter

    def _step(self, line: Line) -> Step:
        answer = self._command(line.command)
        if isinstance(answer, str):
            return Step(line, answer)
        message, self._message = self._message, None
        assert message is not None
        if answer.answer not in {CONTINUE, ACCEPT}:
            self.filter.abort()
            return Step(line, answer.answer, answer.edits)
        message.apply(answer.edits)
        return Step(line, answer.answer, answer.edits, message)

    def _command(self, command: Command) -> str | Verdict:
        match command:
            case Connect():
                if self._filter is not None and not self.one_filter:
                    self._quit()
                self._abort()
                self._client, self._filter = command, self._filter or self.new_filter()
                return self.filter.connect(command, self._macros())
            case Helo(name):
                self._abort()
                return self.filter.helo(name, self._macros())
            case Mail(sender):
                return self._mail(command, sender)
            case Rcpt(recipient):
                return self._rcpt(recipient)
            case Data():
                return self._data()
            case Header(name, value):
                return self._header(name, value)
            case EndOfHeaders():
                return self._end_of_headers()
            case Body(line):
                return self._body(line)
            case End():
                return self._end()
            case Rset():
                self._abort()
                return CONTINUE
            case Quit() | Drop():
                self._quit()
                return ""
            case Vanish():
                self.filter.vanish()
                self._filter = self._message = None
                return ""
            case _:
                assert_never(command)

    def _mail(self, command: Mail, sender: str) -> str:
        assert self._message is None, "MAIL inside of a transaction"
        self._sender, self._refused = command, ""
        self._message = Message(sender.strip("<>"))
        self._count += 1
        answer = self.filter.mail(sender, self._macros())
        if answer not in {CONTINUE, ACCEPT}:
            self._abort()
        return answer

    def _rcpt(self, recipient: str) -> str:
        message = self._open()
        answer = self.filter.rcpt(recipient, self._macros(recipient))
        if answer in {CONTINUE, ACCEPT, DISCARD}:
            message.recipients.append(recipient.strip("<>"))
        return answer

    def _data(self) -> str:
        message = self._open()
        if not message.recipients:
            self._refused = NO_RECIPIENTS
            return NO_RECIPIENTS
        answer = self.filter.data(self._macros())
        if answer not in {CONTINUE, ACCEPT}:
            self._refused = answer
        message.received(f"from {self._connected().name} by {HOST}".encode())
        return answer

    def _header(self, name: bytes, value: bytes) -> str:
        if self._content():
            value = value.replace(b"\r\n", b"\n")
            self._open().header.append(HeaderField(name, value))
            self._note(self.filter.header(name, value, self._macros()))
        return ""

    def _end_of_headers(self) -> str:
        if self._content() and not self._open().ended:
            self._open().ended = True
            self._note(self.filter.end_of_headers(self._macros()))
        return ""

    def _body(self, line: bytes) -> str:
        self._end_of_headers()
        if self._content():
            self._open().body.append(line + b"\r\n")
            self._note(self.filter.body(line + b"\r\n"))
        return ""

    def _end(self) -> str | Verdict:
        self._end_of_headers()
        if self._refused:
            refused, self._refused = self._refused, ""
            self._abort()
            return refused
        return self.filter.end_of_message(self._macros())

    def _content(self) -> bool:
        """Whether the client may send the message now; DATA is said where it was not."""
        if not self._open().header and not self._open().ended and not self._refused:
            self._data()
        return not self._refused

    def _note(self, answer: str) -> None:
        if answer not in {CONTINUE, ACCEPT}:
            self._refused = answer

    def _abort(self) -> None:
        if self._message is not None:
            self.filter.abort()
        self._message = None

    def _quit(self) -> None:
        self._abort()
        self.filter.quit()
        self._filter = None

    def _open(self) -> Message:
        assert self._message is not None, "outside of a transaction"
        return self._message

    def _connected(self) -> Connect:
        assert self._client is not None, "before connect"
        return self._client

    def _macros(self, recipient: str = "") -> dict[str, str]:
        """Everything that Postfix can tell at this moment, by the names that it has for it."""
        client = self._connected()
        macros = {
            "j": HOST,
            "v": "Postfix 3.7.11",
            "_": client.trace,
            "{daemon_name}": client.daemon,
            "{daemon_addr}": "127.0.0.1",
            "{client_addr}": client.address,
            "{client_name}": client.name,
            "{client_ptr}": client.ptr or client.name,
            "{client_resolve}": client.resolved,
        }
        if self._message is None or self._sender is None:
            return macros
        sender = self._message.sender
        hop = sender.rpartition("@")[2] or HOST
        macros |= {"{mail_addr}": sender, "{mail_host}": hop, "{mail_mailer}": "smtp"}
        if self._sender.auth:
            macros |= {"{auth_type}": "PLAIN", "{auth_authen}": self._sender.auth}
        if recipient:
            mailer, hop = self.transport
            macros |= {"{rcpt_addr}": recipient.strip("<>"), "{rcpt_host}": hop}
            macros["{rcpt_mailer}"] = mailer
        if self._message.recipients:
            macros["i"] = f"4Z{self._count:011d}z"
        return macros
