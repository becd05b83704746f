"""Checks that read whole messages: what they are shown, and what becomes of what cannot be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iems.model.envelope import Client
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.store.spool import MEMORY_LIMIT, Spool
from milters.chain import Chain
from milters.checks.protocol import Known, Pending, Stage, View
from milters.reply import Continue, Reject, TempFail
from tests.held import open_below
from tests.unit.chain.world import World, rcpt

LIMIT = 1 << 20


@dataclass
class Reader:
    """Keeps the whole message, and what the check before it found."""

    name: str = "dnsbl/free"
    band: str = ""
    stage: Stage = Stage.BODY
    views: list[View] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    deadlines: list[Deadline] = field(default_factory=list)

    def applies(self, view: View) -> bool:
        return not view.authenticated

    def start(self, view: View, deadline: Deadline) -> Pending:
        self.views.append(view)
        self.deadlines.append(deadline)
        assert view.message is not None
        self.seen.append(view.message.header + b"".join(view.message.body.pieces()))
        return Known((Finding(self.name, "seen", self.band),))


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def world(reader: Reader) -> World:
    found = World()
    found.use(reader)
    settings = found.runtime.settings
    agent = replace(settings.agent, max_message=LIMIT)
    found.runtime = replace(found.runtime, settings=replace(settings, agent=agent))
    return found


def send(chain: Chain, *pieces: bytes) -> object:
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice")
    chain.header(b"Subject", b" one\n two")
    chain.header(b"X", b"")
    chain.header(b"Y", b" a\r")
    chain.end_of_headers()
    for piece in pieces:
        chain.body(piece)
    return chain.end_of_message({})[0]


def test_the_message_is_shown_as_the_client_sent_it(world: World, reader: Reader) -> None:
    chain = world.connect()
    assert chain.reads_bodies
    assert send(chain, b"te", b"xt\r\n") == Continue()
    assert send(chain) == Continue()
    assert reader.seen == [
        b"Subject: one\r\n two\r\nX:\r\nY: a\r\r\n\r\ntext\r\n",
        b"Subject: one\r\n two\r\nX:\r\nY: a\r\r\n\r\n",
    ]
    view = reader.views[0]
    assert view.header is not None
    assert [one.name for one in view.header.fields] == [b"Subject", b"X", b"Y"]
    assert view.envelope_from == "a@sender.example"
    assert 55 < reader.deadlines[0].remaining() <= 60


def test_nothing_is_kept_where_no_check_reads_it(world: World, reader: Reader) -> None:
    reader.stage = Stage.HEADERS
    assert not world.connect().reads_bodies


def test_what_it_finds_can_refuse_the_message(world: World, reader: Reader) -> None:
    reader.band = "listed"
    reply = send(world.connect(), b"text")
    assert isinstance(reply, Reject)
    assert world.recorder.committed[0].stage == "end-of-message"


def test_a_check_can_ask_what_others_found(world: World, reader: Reader) -> None:
    world.use(Reader("first"), reader, Reader("last"))
    send(world.connect(), b"text")
    for name in ("first", "last"):
        assert reader.views[0].found(name) == (Finding(name, "seen"),)
    assert reader.views[0].found("none") == ()


def test_a_finding_that_does_not_count_is_not_told(world: World, reader: Reader) -> None:
    world.use(Reader("other"), reader)
    chain = world.connect()
    chain.mail("<a@sender.example>", {"{auth_authen}": "alice"})
    rcpt(chain, "alice")
    chain.end_of_headers()
    chain.end_of_message({})
    assert reader.views[0].found("other") == ()


def test_a_message_larger_than_the_agent_takes_is_refused(world: World) -> None:
    reply = send(world.connect(), b"x" * LIMIT, b"x")
    assert isinstance(reply, Reject)
    assert (reply.code, reply.enhanced) == (552, "5.3.4")


def test_a_disk_that_is_full_costs_a_delay(world: World, tmp_path: Path) -> None:
    world.runtime = replace(world.runtime, spool=Spool(tmp_path / "nowhere"))
    large = b"x" * (MEMORY_LIMIT + 1)
    assert isinstance(send(world.connect(), large), TempFail)
    assert send(world.connect(), b"small") == Continue()


@pytest.mark.parametrize("end", ["end", "rset", "mail", "close", "connect"])
def test_files_are_closed_however_a_message_ends(world: World, tmp_path: Path, end: str) -> None:
    world.runtime = replace(world.runtime, spool=Spool(tmp_path))
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice")
    chain.end_of_headers()
    chain.body(b"x" * (MEMORY_LIMIT + 1))
    assert open_below(tmp_path) == 1
    ends: dict[str, Callable[[], object]] = {
        "end": lambda: chain.end_of_message({}),
        "rset": chain.abort,
        "mail": lambda: chain.mail("<b@sender.example>", {}),
        "close": chain.close,
        "connect": lambda: chain.connect(Client("192.0.2.1"), {}),
    }
    ends[end]()
    assert open_below(tmp_path) == 0
