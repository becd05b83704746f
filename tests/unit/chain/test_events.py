"""What a check is shown at each stage, and how long its findings and the message hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from iems.codec.findings import decode
from iems.model.address import Address
from iems.model.envelope import Client
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from milters.chain import Chain
from milters.checks.protocol import Known, Pending, Stage, View
from milters.reply import Continue, InsertHeader
from tests.unit.chain.world import KEY, World, finish, rcpt


@dataclass
class Watcher:
    """A check that keeps what it is shown; its finding says which start it was."""

    stage: Stage
    views: list[View] = field(default_factory=list)
    counted: list[View] = field(default_factory=list)
    deadlines: list[Deadline] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"watch/{self.stage.name}"

    def applies(self, view: View) -> bool:
        self.counted.append(view)
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:
        self.views.append(view)
        self.deadlines.append(deadline)
        return Known((Finding(self.name, str(len(self.views))),))


WATCHED = (Stage.CONNECT, Stage.HELO, Stage.MAIL, Stage.HEADERS)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def watchers(world: World) -> list[Watcher]:
    found = [Watcher(stage) for stage in reversed(WATCHED)]
    world.use(*found)
    return found[::-1]


def passed(edits: tuple[object, ...]) -> list[tuple[str, str]]:
    first = edits[0]
    assert isinstance(first, InsertHeader)
    seen = decode(first.value, lambda _key: KEY.secret).findings
    return [(one.check.removeprefix("watch/"), one.outcome) for one in seen]


def test_each_stage_is_shown_what_is_known_by_then(world: World, watchers: list[Watcher]) -> None:
    chain = Chain(world.runtime)
    macros = {"{daemon_name}": "submission", "{client_resolve}": "OK"}
    assert chain.connect(Client("192.0.2.1", "mx.example", 25), macros) == Continue()
    assert chain.helo("mx\u00e9.example") == Continue()
    assert chain.mail("<a@sender.example>", {"{auth_authen}": "alice"}) == Continue()
    rcpt(chain, "alice")
    chain.header(b"Subject", b" hi")
    chain.header(b"X-A", b" 1\r\n 2")
    assert chain.end_of_headers() == Continue()
    chain.end_of_message({})
    connect, helo, mail, headers = (one.views[0] for one in watchers)
    assert connect == View(
        Client("192.0.2.1", "mx.example", 25), "", "submission", "", None, None, "OK"
    )
    assert (helo.helo, helo.sender) == ("mx?.example", None)
    assert (mail.helo, mail.authenticated, mail.channel) == ("mx?.example", "alice", "submission")
    assert mail.sender == Address("a", "sender.example")
    assert mail.header is None
    assert headers.header is not None
    assert [(one.name, one.value) for one in headers.header.fields] == [
        (b"Subject", b" hi"),
        (b"X-A", b" 1\r\n 2"),
    ]
    assert {one.authenticated for one in watchers[0].counted} == {"alice"}
    assert all(4 < one.deadlines[0].remaining() <= 5 for one in watchers)


def test_the_channel_is_the_listener_s_and_a_log_in_makes_the_internet_submission(
    world: World, watchers: list[Watcher]
) -> None:
    for macros, authenticated, channel in (
        ({}, "", "internet"),
        ({}, "alice", "submission"),
        ({"{daemon_name}": "local"}, "root", "local"),
    ):
        chain = Chain(world.runtime)
        chain.connect(Client(None), macros)
        chain.mail("<>", {"{auth_authen}": authenticated})
        assert watchers[2].views[-1].channel == channel


def test_a_new_helo_ends_the_findings_of_its_own_stage_alone(
    world: World, watchers: list[Watcher]
) -> None:
    del watchers
    chain = world.connect()
    chain.helo("again.example")
    chain.mail("<one@sender.example>", {})
    chain.abort()
    assert chain.reference == "-"
    chain.mail("<two@sender.example>", {})
    _reply, edits = finish(chain)
    assert passed(edits) == [("CONNECT", "1"), ("HELO", "2"), ("MAIL", "2"), ("HEADERS", "1")]


def test_another_client_on_the_same_connection_starts_afresh(
    world: World, watchers: list[Watcher]
) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    chain.connect(Client("192.0.2.2"), {})
    assert chain.reference == "-"
    chain.mail("<a@sender.example>", {})
    _reply, edits = finish(chain)
    assert passed(edits) == [("CONNECT", "2"), ("MAIL", "2"), ("HEADERS", "1")]
    assert watchers[2].views[-1].helo == ""
    assert watchers[2].views[-1].resolved == ""


@pytest.mark.parametrize("end", [Chain.abort, Chain.close])
def test_a_message_that_is_broken_off_is_forgotten(
    world: World, end: Callable[[Chain], None]
) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    chain.rcpt("<bob@example.test>", {"i": "4First"})
    end(chain)
    assert (chain.reference, chain.queue_id) == ("-", "")
    with pytest.raises(ValueError, match="before MAIL"):
        chain.end_of_message({})


def test_the_end_of_the_connection_ends_all(world: World, watchers: list[Watcher]) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    chain.close()
    chain.close()
    assert (chain.reference, chain.queue_id) == ("-", "")
    chain.mail("<a@sender.example>", {})
    assert watchers[2].views[-1].client == Client(None)
    assert watchers[2].views[-1].helo == ""


def test_the_queue_id_is_the_last_that_the_mta_told(world: World) -> None:
    chain = world.connect("192.0.2.1")
    chain.mail("<a@sender.example>", {})
    assert chain.queue_id == ""
    chain.rcpt("<bob@example.test>", {"i": "4First"})
    chain.rcpt("<bob@example.test>", {})
    assert chain.queue_id == "4First"
    assert chain.end_of_message({})[1]
    assert world.recorder.added[0].queue_id == "4First"
    assert chain.queue_id == ""


def test_what_belongs_to_a_message_is_an_error_before_mail(world: World) -> None:
    chain = world.connect()
    for call in (
        lambda: chain.rcpt("<bob@example.test>", {}),
        lambda: chain.header(b"Subject", b" hi"),
        chain.end_of_headers,
        lambda: chain.end_of_message({}),
    ):
        with pytest.raises(ValueError, match="before MAIL"):
            call()
