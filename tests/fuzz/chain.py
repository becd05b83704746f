"""Laws of the milter's chain, told as a script of what an MTA says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

from iems.codec.authres import claims
from iems.codec.findings import decode
from iems.model.envelope import INTERNET
from milters.chain import Chain
from tests.fakemta.chain import ChainFilter
from tests.fakemta.filter import CONTINUE
from tests.fakemta.message import Message
from tests.fakemta.script import (
    Command,
    Connect,
    End,
    Header,
    Helo,
    Line,
    Mail,
    Rcpt,
    Rset,
)
from tests.fakemta.session import Session
from tests.unit.chain.world import KEY, LISTED, World

_CLIENTS = (LISTED, "192.0.2.99", "192.0.2.1")
_DAEMONS = ("internet", "submission", "local")
_NAME = re.compile(rb"[!-9;-~]{1,100}[ \t]*")
_REPLY = re.compile(r"[45]\d\d [45]\.\d{1,3}\.\d{1,3} [ -~]{1,500}")
_COMMANDS = 60
HOST = "mail.example.test"


def chain(data: bytes) -> None:
    """Every answer is one that SMTP can carry; what is let in bears our findings and no others.

    One command a line, by its first letter: c a client, e EHLO, m MAIL, r RCPT, h a header field
    (0x1f is a fold), `.` the end of the message, x RSET.
    """
    world = _world()
    for kept in (world.log.lines, world.recorder.added, world.recorder.committed):
        kept.clear()
    holds(Session(lambda: ChainFilter(Chain(world.runtime))), data, {KEY.id: KEY.secret}.get)
    assert not [line for line in world.log.lines if "error" in line]


def holds(session: Session, data: bytes, secret_of: Callable[[str], bytes | None]) -> None:
    """Run the script of these bytes; AssertionError where an answer or a message is wrong."""
    for step in session.run(tuple(Line("", one) for one in _commands(data))):
        assert step.answer in {"", CONTINUE} or _REPLY.fullmatch(step.answer), step.answer
        assert not step.answer.startswith("451"), "a defect of the filter delays a message"
        if step.message is not None:
            _let_in(step.message, secret_of)


@cache
def _world() -> World:
    world = World()
    world.runtime = replace(world.runtime, new_reference=lambda: "REF0123456789")
    return world


def _commands(data: bytes) -> Iterator[Command]:
    """The commands that an MTA could say: in its order, and only what it lets through."""
    yield Connect(LISTED, "mx.example")
    stage = "idle"
    for line in data.split(b"\n")[:_COMMANDS]:
        kind, rest = line[:1], line[1:]
        text = rest.replace(b"\0", b"").replace(b"\r", b"").decode("utf-8", "surrogateescape")
        if kind == b"c":
            name = text if text and text.isascii() else "unknown"
            yield Connect(_CLIENTS[len(rest) % 3], name, _DAEMONS[len(rest) // 3 % 3])
            stage = "idle"
        elif kind == b"e":
            yield Helo(text)
            stage = "idle"
        elif kind == b"m" and stage == "idle":
            yield Mail(f"<{text}>", "alice" if text.startswith("!") else "")
            stage = "mail"
        elif kind == b"r" and stage in {"mail", "rcpt"} and text:
            yield Rcpt(f"<{text}>")
            stage = "rcpt"
        elif kind == b"h" and stage in {"rcpt", "data"} and (found := _NAME.match(rest)):
            value = rest[found.end() + 1 :].replace(b"\0", b"").replace(b"\x1f", b"\r\n ")
            yield Header(found.group(), value)
            stage = "data"
        elif kind == b"." and stage != "idle":
            yield End()
            stage = "idle"
        elif kind == b"x":
            yield Rset()
            stage = "idle"


def _let_in(message: Message, secret_of: Callable[[str], bytes | None]) -> None:
    named: dict[bytes, list[bytes]] = {}
    for one in message.header:
        named.setdefault(one.name.strip().lower(), []).append(one.value)
    (value,) = named[b"x-iems-findings"]
    passed = decode(value, secret_of)
    assert b"x-iems-verdict" not in named
    ours = [one for one in named.get(b"authentication-results", []) if claims(one, HOST)]
    assert len(ours) == (passed.channel == INTERNET)
    assert not ours or message.header[0].value == ours[0]
