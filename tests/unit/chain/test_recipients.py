"""What a check finds at RCPT is one recipient's: it goes with him, or stays where he is let in."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from iems.codec.findings import decode
from iems.model.finding import Finding
from iems.serve.deadline import Deadline
from iems.serve.meter import series
from milters.checks.protocol import Known, Pending, Stage, View
from milters.reply import Continue, InsertHeader, TempFail
from tests.unit.chain.world import KEY, World, finish, rcpt


@dataclass
class Third:
    """A check of recipients that has something against every third one."""

    name: str
    stage: Stage = Stage.RCPT
    seen: list[View] = field(default_factory=list)

    def applies(self, view: View) -> bool:
        del view
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:
        del deadline
        self.seen.append(view)
        number = len(self.seen)
        bad = Finding(self.name, "fail", "listed", f"recipient {number}")
        return Known(() if number % 3 else (bad,))


@pytest.fixture
def world() -> World:
    return World()


def passed(edits: tuple[object, ...]) -> list[str]:
    """The reasons of the findings that travel."""
    first = edits[0]
    assert isinstance(first, InsertHeader)
    return [one.reason for one in decode(first.value, {KEY.id: KEY.secret}.get).findings]


def test_a_recipient_who_is_refused_takes_his_finding_along(world: World) -> None:
    world.use(Third("dnsbl/hard"))
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    answers = rcpt(chain, "bob", "alice", "abuse", "strict", "dora")
    assert [isinstance(one, Continue) for one in answers] == [True, True, False, True, True]
    answer, edits = finish(chain)
    assert isinstance(answer, Continue)
    assert passed(edits) == []


def test_the_finding_of_the_first_who_is_let_in_stays_once(world: World) -> None:
    """bob takes junk; dora defers, and what was found of her is hers."""
    world.use(check := Third("dnsbl/free"))
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    names = ("bob", "abuse", "bob", "bob", "bob", "dora", "bob", "abuse", "bob")
    answers = rcpt(chain, *names)
    refused = [at for at, one in enumerate(answers) if not isinstance(one, Continue)]
    assert refused == [5]
    assert isinstance(answers[5], TempFail)
    assert "recipient 6" in answers[5].text
    _answer, edits = finish(chain)
    assert passed(edits) == ["recipient 3"]
    assert len(check.seen) == 9


def test_each_recipient_s_finding_is_counted_once(world: World) -> None:
    world.use(Third("dnsbl/hard"))
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, *["bob"] * 7)
    finish(chain)
    found = series("findings_total", {"check": "dnsbl/hard", "outcome": "fail", "band": "listed"})
    assert world.meter.snapshot().counters[found] == 2


def test_nothing_of_one_message_is_found_in_the_next(world: World) -> None:
    world.use(Third("dnsbl/free"))
    chain = world.connect()
    for expected in (["recipient 3"], []):
        chain.mail("<a@sender.example>", {})
        rcpt(chain, "bob", "bob", *(["bob"] if expected else []))
        _answer, edits = finish(chain)
        assert passed(edits) == expected


@pytest.mark.parametrize(("names", "stays"), [("bob dora bob", False), ("bob bob bob", True)])
def test_what_was_found_of_one_recipient_keeps_nobody_else_waiting(
    world: World, names: str, *, stays: bool
) -> None:
    """dora would defer what was found of bob, who takes it as junk."""
    world.use(Third("dnsbl/free"))
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    assert rcpt(chain, *names.split()) == [Continue()] * 3
    answer, edits = finish(chain)
    assert answer == Continue()
    assert passed(edits) == (["recipient 3"] if stays else [])
