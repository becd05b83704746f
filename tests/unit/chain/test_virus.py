"""What carries a virus does not leave this host, in whatever company, and whichever way it came."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace

import pytest

from iems.directory.reader import DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.model.finding import Finding
from iems.model.policy import Action, Kind, Layer, Rule, Subject
from iems.serve.deadline import Deadline
from iems.settings.load import from_table
from iems.store.replay import Replay
from milters.checks.protocol import Check, Known, Pending, Stage, View
from milters.reply import Continue, Hold, Reject, Reply, TempFail
from tests.unit.chain.world import SETTINGS, World, finish, rcpt

VIRUS = """
[checks.virus]
mode = "{mode}"
engines = {{ a = {{ kind = "clamd", server = "unix:/nowhere" }} }}
[checks.virus.matrix."*"]
local = {{ infected = "{local}" }}
internet = {{ infected = "{outside}" }}
[checks.virus.matrix.partners]
"*" = {{ infected = "tag", temperror = "deliver" }}
"""
DISCARDS = 'policy = { "dnsbl/free" = { listed = "discard" } }'


@dataclass(frozen=True)
class Found:
    """A check that finds the same in every message."""

    name: str
    band: str
    stage: Stage = Stage.BODY

    def applies(self, view: View) -> bool:
        del view
        return True

    def start(self, view: View, deadline: Deadline) -> Pending:
        del view, deadline
        return Known((Finding(self.name, self.band, self.band, "seen"),))


def world(
    *checks: Check, local: str = "quarantine", outside: str = "reject", mode: str = "enforce"
) -> World:
    made = World()
    made.use(*checks)
    text = SETTINGS + VIRUS.format(local=local, outside=outside, mode=mode)
    made.runtime = replace(made.runtime, settings=from_table(tomllib.loads(text)))
    return made


def send(
    one: World, *recipients: str, channel: str = "internet"
) -> tuple[Reply, tuple[object, ...]]:
    chain = one.connect(daemon=channel)
    chain.mail("<a@sender.example>", {})
    assert all(isinstance(answer, Continue) for answer in rcpt(chain, *recipients))
    answer, edits = finish(chain)
    assert isinstance(answer, (Continue, Reject, TempFail))
    return answer, tuple(edit for edit in edits if isinstance(edit, Hold))


INFECTED = Found("virus", "infected")


def test_mail_for_mailboxes_is_the_agent_s_unless_all_reject() -> None:
    assert send(world(INFECTED), "alice", "bob") == (Continue(), ())
    answer, _holds = send(world(INFECTED, local="reject"), "alice", "bob")
    assert isinstance(answer, Reject)
    assert "seen" in answer.text


@pytest.mark.parametrize("recipients", [("away",), ("mixed",), ("bob", "away")])
def test_the_direction_is_outside_if_anybody_is(recipients: tuple[str, ...]) -> None:
    answer, _holds = send(world(INFECTED), *recipients)
    assert isinstance(answer, Reject)
    assert send(world(INFECTED, outside="tag"), *recipients) == (Continue(), ())


def test_the_records_tell_which_way_a_refused_message_went() -> None:
    one = world(INFECTED)
    assert isinstance(send(one, "bob", "away")[0], Reject)
    records = one.recorder.committed
    assert [record.action for record in records] == ["reject", "reject"]
    assert list(Replay(one.runtime.settings, one.directory).differences(records)) == []


def dropping() -> World:
    """bob drops what a list names, and no scanner looks at it."""
    one = world(Found("dnsbl/free", "listed"), Found("virus", "temperror"))
    one.directory = type(one.directory).parse(
        f"""
[domains."example.test"]
[users."bob@example.test"]
{DISCARDS}
[aliases]
"away@example.test" = ["someone@elsewhere.example"]
"""
    )
    one.runtime = replace(one.runtime, directory=one.directory)
    return one


def test_what_nobody_looked_at_does_not_leave_beside_a_copy_that_is_dropped() -> None:
    """bob's own choice is stronger than to defer, and no refusal."""
    one = dropping()
    answer, _holds = send(one, "bob", "away")
    assert isinstance(answer, TempFail)
    assert send(one, "bob") == (Continue(), ())


def test_beside_others_it_is_stopped_by_the_virus_alone() -> None:
    """That what leaves is rejected for something else as well is no matter of the others."""
    one = dropping()
    layer = Layer(Subject(Kind.CONNECTOR), {("dnsbl/free", "listed"): Rule(None, Action.REJECT)})
    settings = replace(one.runtime.settings, destinations={"internet": layer})
    one.runtime = replace(one.runtime, settings=settings)
    answer, _holds = send(one, "bob", "away")
    assert isinstance(answer, TempFail)
    assert isinstance(send(one, "away")[0], Reject)


@pytest.mark.parametrize(
    ("band", "recipients", "held"),
    [
        ("infected", ("away",), "virus infected is reject: seen"),
        ("infected", ("bob", "mixed"), "virus infected is reject: seen"),
        ("temperror", ("away",), "virus temperror is defer: seen"),
        ("unscanned", ("away",), "virus unscanned is reject: seen"),
        ("encrypted", ("away",), ""),
        ("infected", ("bob",), ""),
    ],
)
def test_what_cannot_be_refused_is_held(band: str, recipients: tuple[str, ...], held: str) -> None:
    """Mail that does not come by SMTP; the agent sees to what stays here."""
    answer, holds = send(world(Found("virus", band)), *recipients, channel="local")
    assert answer == Continue()
    assert holds == ((Hold(held),) if held else ())


def test_what_could_not_be_kept_to_be_scanned_is_held_too() -> None:
    one = world(INFECTED)
    chain = one.connect(daemon="local")
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "away")
    chain.end_of_headers()
    assert chain._message is not None
    chain._message.fault = OSError("disk full")
    answer, edits = chain.end_of_message({"i": "4QueueId"})
    assert answer == Continue()
    assert edits == (Hold("virus temperror is defer: the message carries no valid findings"),)


def test_what_leads_nobody_knows_where_is_held_as_if_it_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mail that does not come by SMTP goes on without an answer of the directory."""

    def down(*_arguments: object) -> None:
        raise DirectoryUnavailable("no answer")

    held = (Hold("virus infected is reject: seen"),)
    assert send(world(INFECTED), "\x01", channel="local") == (Continue(), held)
    monkeypatch.setattr(TomlDirectory, "find", down)
    assert send(world(INFECTED), "away", channel="local") == (Continue(), held)


def test_only_viruses_hold_mail_and_only_where_the_site_says_so() -> None:
    other = Found("dnsbl/hard", "listed")
    assert send(world(other), "away", channel="local") == (Continue(), ())
    assert send(world(INFECTED, mode="shadow"), "away", channel="local") == (Continue(), ())
    assert send(world(INFECTED, mode="shadow"), "away") == (Continue(), ())


def test_the_source_counts() -> None:
    assert send(world(INFECTED), "away", channel="partners") == (Continue(), ())
    assert send(world(Found("virus", "temperror")), "away", channel="partners") == (Continue(), ())
