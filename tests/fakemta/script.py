"""Command scripts: what a client does, one command a line, with comments that say why.

    # purpose: a listed client is refused
    connect 192.0.2.1 mail.sender.example daemon=internet
    helo mail.sender.example
    mail <a@sender.example>
    rcpt <alice@example.test>
    header Subject: two lines
      of one field
    body text
    end
    quit

A `connect` on an open connection is a client behind XCLIENT; after its end it opens another one.
`resolve=` is what Postfix found about the client's names (OK, FORGED, FAIL, TEMP), `ptr=` the name
that it did not believe, `auth=` of `mail` the login of an authenticated client. `drop` is a client
that goes away, `vanish` an MTA that does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


class ScriptError(ValueError):
    """A line that is no command; the message says which."""


@dataclass(frozen=True)
class Connect:
    """A client connects."""

    address: str
    name: str
    daemon: str = "internet"
    resolve: str = ""
    ptr: str = ""

    @property
    def resolved(self) -> str:
        """Postfix's word about the client's names."""
        return self.resolve or ("FAIL" if self.name == "unknown" else "OK")

    @property
    def host(self) -> str:
        """The name in the milter's CONNECT: the address in brackets where there is none."""
        return f"[{self.address}]" if self.name == "unknown" else self.name

    @property
    def trace(self) -> str:
        """The macro `_`."""
        if self.ptr:
            return f"{self.ptr} [{self.address}] (may be forged)"
        return f"{self.name} [{self.address}]"


@dataclass(frozen=True)
class Helo:
    """EHLO."""

    name: str


@dataclass(frozen=True)
class Mail:
    """MAIL FROM; the sender in angle brackets."""

    sender: str
    auth: str = ""


@dataclass(frozen=True)
class Rcpt:
    """RCPT TO; the recipient in angle brackets."""

    recipient: str


@dataclass(frozen=True)
class Data:
    """DATA."""


@dataclass(frozen=True)
class Header:
    """One header field; the value with its leading blank, folded with CRLF."""

    name: bytes
    value: bytes


@dataclass(frozen=True)
class EndOfHeaders:
    """The empty line."""


@dataclass(frozen=True)
class Body:
    """A line of the body."""

    line: bytes


@dataclass(frozen=True)
class End:
    """The final dot."""


@dataclass(frozen=True)
class Rset:
    """RSET."""


@dataclass(frozen=True)
class Quit:
    """QUIT."""


@dataclass(frozen=True)
class Drop:
    """The client's connection breaks."""


@dataclass(frozen=True)
class Vanish:
    """The MTA's process dies: the filter's connection breaks without a word."""


Command: TypeAlias = (
    Connect
    | Helo
    | Mail
    | Rcpt
    | Data
    | Header
    | EndOfHeaders
    | Body
    | End
    | Rset
    | Quit
    | Drop
    | Vanish
)
_BARE: Mapping[str, Command] = {
    "data": Data(),
    "eoh": EndOfHeaders(),
    "end": End(),
    "rset": Rset(),
    "quit": Quit(),
    "drop": Drop(),
    "vanish": Vanish(),
}


_HEX = re.compile(rb"\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class Line:
    """A command with its text as it stands in the script."""

    text: str
    command: Command


def parse(text: str) -> tuple[Line, ...]:
    """The commands of a script; ScriptError names the line that is none."""
    lines: list[Line] = []
    for number, raw in enumerate(text.splitlines(), 1):
        if raw.startswith((" ", "\t")) and lines and isinstance(lines[-1].command, Header):
            lines[-1] = _folded(lines[-1], raw)
        elif raw.strip() and not raw.startswith("#"):
            lines.append(Line(raw, _command(raw, number)))
    return tuple(lines)


def _folded(line: Line, raw: str) -> Line:
    assert isinstance(line.command, Header)
    value = line.command.value + b"\r\n" + _bytes(raw)
    return Line(f"{line.text}\n{raw}", Header(line.command.name, value))


def _command(raw: str, number: int) -> Command:
    verb, _blank, rest = raw.partition(" ")
    if verb in _BARE and not rest:
        return _BARE[verb]
    if verb == "header":
        name, colon, value = rest.partition(":")
        if colon:
            return Header(_bytes(name), _bytes(value))
    if verb == "body":
        return Body(_bytes(rest))
    try:
        return _with_words(verb, rest.split())
    except (TypeError, ValueError, KeyError) as error:
        raise ScriptError(f"line {number}: {raw!r}: {error}") from None


def _with_words(verb: str, words: list[str]) -> Command:
    plain = [word for word in words if "=" not in word or word.startswith("<")]
    options = dict(word.split("=", 1) for word in words if word not in plain)
    match verb, plain:
        case "connect", [address, name]:
            return Connect(address, name, **options)
        case "helo", [name]:
            return Helo(name, **options)
        case "mail", [sender] if _is_path(sender):
            return Mail(sender, **options)
        case "rcpt", [recipient] if _is_path(recipient):
            return Rcpt(recipient, **options)
        case _:
            raise ValueError("no such command")


def _is_path(text: str) -> bool:
    return text.startswith("<") and text.endswith(">")


def _bytes(text: str) -> bytes:
    """The text as UTF-8, where `\\xHH` stands for one byte."""
    octets = text.encode("utf-8", "surrogateescape")
    return _HEX.sub(lambda found: bytes([int(found.group(1), 16)]), octets)
