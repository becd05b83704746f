"""Refusals: what the client reads, what is recorded and logged, and who is never refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from iems.directory.reader import User
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.model.envelope import Client
from iems.model.finding import Finding
from iems.model.policy import Action, Decision, Kind, Reason, Subject
from iems.serve.deadline import Deadline
from milters.chain import Chain
from milters.checks.protocol import Stage
from milters.refusal import refusal
from milters.reply import ChangeHeader, Continue, Reject, Reply, TempFail
from tests.unit.chain.world import LISTED, ListCheck, World, finish, rcpt

ENFORCED = "192.0.2.99"
MANY = b"x" * (1 << 19)


@pytest.fixture
def world() -> World:
    return World()


def decided(reason: str, *evidence: tuple[str, str]) -> Decision:
    finding = Finding("dnsbl/free", "listed", "listed", reason, None, evidence)
    alice = Subject(Kind.USER, "alice@example.test")
    return Decision(Action.REJECT, (Reason(finding, Action.REJECT, alice, enforced=False),))


def test_a_refusal_is_recorded_and_logged_with_all_that_explains_it(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    chain.rcpt("<two@example.test>", {"i": "4Q"})
    reply = f"<two@example.test>: {LISTED} is listed; help: help@example.test; reference REF00"
    one, other = world.recorder.committed
    assert (one.subject, other.subject) == ("user alice@example.test", "user dora@example.test")
    assert (one.action, other.action) == ("reject", "defer")
    for record in (one, other):
        assert record.recipient == "two@example.test"
        assert record.reply == f"450 4.7.1 {reply}"
        assert (record.reference, record.queue_id, record.stage) == ("REF00", "4Q", "rcpt")
        assert (record.client, record.sender) == (LISTED, "a@sender.example")
        assert (record.channel, record.time) == ("internet", 1_000_000.0)
    reasons = one.details["reasons"]
    assert isinstance(reasons, list)
    assert (reasons[0]["check"], reasons[0]["layer"]) == ("dnsbl/free", "user alice@example.test")
    assert isinstance(one.details["findings"], list)
    assert len(one.details["findings"]) == 2
    assert world.log.lines == [
        {
            "reference": "REF00",
            "queue_id": "4Q",
            "stage": "rcpt",
            "action": "defer",
            "client": LISTED,
            "sender": "a@sender.example",
            "recipient": "two@example.test",
            "reply": "450 4.7.1",
            "check": "dnsbl/free",
            "verdicts": 2,
        }
    ]


CLOSED = """
[domains."example.test"]
[users."gone@example.test"]
disabled = "has left"
[users."printer@example.test"]
kind = "send-only"
[users."bob@example.test"]
[aliases]
"closed@example.test" = ["gone@example.test", "printer@example.test"]
"some@example.test" = ["gone@example.test", "nobody@example.test", "bob@example.test"]
"lost@example.test" = ["nobody@example.test"]
"postmaster@example.test" = ["gone@example.test"]
"""


@pytest.mark.parametrize(
    ("recipient", "code", "reason"),
    [
        ("gone", "5.2.1", "this account is disabled: has left"),
        ("gone+x", "5.2.1", "this account is disabled: has left"),
        ("printer", "5.2.1", "this account sends mail and receives none"),
        ("closed", "5.2.1", "this account is disabled: has left"),
        ("postmaster", "5.2.1", "this account is disabled: has left"),
        ("lost", "5.1.1", "no such user"),
    ],
)
def test_an_address_that_reaches_nobody_who_takes_mail(
    world: World, recipient: str, code: str, reason: str
) -> None:
    world.runtime = replace(world.runtime, directory=TomlDirectory.parse(CLOSED))
    chain = world.connect("192.0.2.1")
    chain.mail("<a@sender.example>", {})
    [answer] = rcpt(chain, recipient)
    assert isinstance(answer, Reject)
    assert (answer.code, answer.enhanced) == (550, code)
    assert f": {reason}; help: help@example.test" in answer.text
    assert {record.action for record in world.recorder.committed} == {"reject"}
    # Who else is reached counts; an address that it does not know is not the directory's.
    assert rcpt(chain, "some", "nobody") == [Continue(), Continue()]


def test_mail_of_this_machine_to_a_closed_account_is_the_agent_s(world: World) -> None:
    world.runtime = replace(world.runtime, directory=TomlDirectory.parse(CLOSED))
    chain = world.connect("127.0.0.1", "local")
    chain.mail("root", {})
    assert rcpt(chain, "gone", "lost") == [Continue(), Continue()]


def sent(chain: Chain, *recipients: str, had: str) -> Reply:
    """The answer to a message to these that has a Delivered-To."""
    chain.mail("<a@sender.example>", {})
    assert set(rcpt(chain, *recipients)) == {Continue()}
    chain.header(b"Delivered-To", f" <{had}@example.test>".encode())
    chain.end_of_headers()
    return chain.end_of_message({"i": "4q"})[0]


def test_a_message_that_all_have_had_is_a_loop(world: World) -> None:
    world.runtime = replace(world.runtime, directory=TomlDirectory.parse(CLOSED))
    chain = world.connect("192.0.2.1")
    answer = sent(chain, "bob", had="BOB")
    assert isinstance(answer, Reject)
    assert (answer.code, answer.enhanced) == (550, "5.4.6")
    assert answer.text.startswith("mail loop, ")
    [record] = world.recorder.committed
    assert (record.stage, record.recipient) == ("end-of-message", "bob@example.test")
    assert isinstance(sent(chain, "some", had="bob"), Reject), "an alias of his"
    for had in ("alice", "bob+x", "some"):
        assert sent(chain, "bob", had=had) == Continue()
    assert sent(chain, "bob", "bob+x", had="bob") == Continue(), "the agent decides for each"
    assert sent(world.connect("127.0.0.1", "local"), "bob", had="bob") == Continue()


def test_a_relayed_address_is_its_channel_s_and_one_without_domain_is_completed(
    world: World,
) -> None:
    chain = world.connect(ENFORCED)
    chain.mail("<>", {})
    away = chain.rcpt("<away@example.test>", {})
    bare = chain.rcpt("<postmaster>", {})
    assert isinstance(away, Reject)
    assert isinstance(bare, Reject)
    assert bare.text.startswith("<postmaster@mail.example.test>: ")
    assert [one.subject for one in world.recorder.committed] == ["internet", "internet"]
    assert [line["action"] for line in world.log.lines] == ["reject", "reject"]


def test_a_late_refusal_names_each_final_recipient_in_its_record(world: World) -> None:
    world = World(Stage.HEADERS)
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice", "two")
    reply, edits = finish(chain)
    assert isinstance(reply, TempFail)
    assert edits == ()
    assert reply.text == f"{LISTED} is listed; help: help@example.test; reference REF00"
    told = [(one.recipient, one.stage) for one in world.recorder.committed]
    assert told == [
        (f"{name}@example.test", "end-of-message") for name in ("alice", "alice", "dora")
    ]
    assert world.log.lines[0]["recipient"] == ""
    assert chain.reference == "-"


def test_mail_that_does_not_come_by_smtp_is_never_refused_late_either() -> None:
    chain = World(Stage.HEADERS).connect(daemon="local")
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice")
    reply, edits = finish(chain)
    assert reply == Continue()
    assert edits


def test_a_role_address_behind_an_alias_is_not_refused_by_its_owner_s_choice(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    assert rcpt(chain, "abuse", "office") == [Continue()] * 2
    chain = world.connect(ENFORCED)
    chain.mail("<a@sender.example>", {})
    assert all(isinstance(reply, Reject) for reply in rcpt(chain, "abuse", "office"))


def test_a_header_that_the_agent_would_not_take_is_refused_and_not_kept(world: World) -> None:
    chain = world.connect("192.0.2.1")
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "bob")
    chain.header(b"X", MANY)
    chain.header(b"X", MANY)
    assert chain._message is not None
    assert len(chain._message.header) == 1
    text = "more than 1048576 bytes of header; reference REF00"
    assert finish(chain) == (Reject(552, "5.3.4", text), ())
    (record,) = world.recorder.committed
    assert (record.stage, record.action) == ("end-of-message", "reject")
    assert record.reply == f"552 5.3.4 {text}"
    assert record.details["reasons"] == [
        {
            "check": "message",
            "band": "too-large",
            "outcome": "fail",
            "reason": "more than 1048576 bytes of header",
            "action": "reject",
            "layer": "site",
            "enforced": True,
        }
    ]
    assert [(line["check"], line["verdicts"]) for line in world.log.lines] == [("message", 1)]
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "bob")
    reply, edits = finish(chain, (b"X", MANY), (b"X-IEMS-Verdict", MANY[15:]))
    assert reply == Continue()
    assert edits[0] == ChangeHeader(b"X-IEMS-Verdict", 1, None)
    world.recorder.broken = True
    chain.mail("<a@sender.example>", {})
    assert isinstance(finish(chain, *[(b"X", MANY)] * 2)[0], TempFail)


@pytest.mark.parametrize(
    ("field", "most", "what"),
    [
        ((b"X", b""), 10_000, "header fields"),
        ((b"X-IEMS-Verdict", b""), 100, "forged header fields"),
    ],
)
def test_more_fields_than_can_be_worked_through_are_refused(
    world: World, field: tuple[bytes, bytes], most: int, what: str
) -> None:
    chain = world.connect("192.0.2.1")
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "bob")
    assert finish(chain, *[field] * most)[0] == Continue()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "bob")
    reply, edits = finish(chain, *[field] * (most + 1))
    assert reply == Reject(552, "5.3.4", f"more than {most} {what}; reference REF01")
    assert not edits


def test_a_client_without_address_has_none_in_record_and_log(world: World) -> None:
    chain = Chain(world.runtime)
    chain.connect(Client(None), {})
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "bob", "carol")
    chain.end_of_message({"i": "4Q"})
    (record,) = world.recorder.added
    assert (record.client, record.stage, record.action) == ("", "end-of-message", "accept")
    assert (record.recipient, record.queue_id) == ("", "4Q")
    findings = record.details["findings"]
    assert isinstance(findings, list)
    assert [one["check"] for one in findings] == ["dnsbl/free", "dnsbl/hard"]
    assert world.log.lines == [
        {
            "reference": "REF00",
            "queue_id": "4Q",
            "stage": "end-of-message",
            "action": "accept",
            "channel": "internet",
            "client": "",
            "sender": "a@sender.example",
            "recipients": 2,
            "findings": "dnsbl/free=none,dnsbl/hard=none",
            "message_id": "",
        }
    ]


def test_whoever_was_refused_is_no_recipient_any_more(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice", "bob")
    finish(chain)
    assert world.log.lines[-1]["recipients"] == 1
    assert world.log.lines[-1]["client"] == LISTED


def test_all_checks_that_led_to_a_refusal_are_logged(world: World) -> None:
    names = ("dnsbl/free", "dnsbl/more")
    world.use(*(ListCheck(name, frozenset({LISTED})) for name in names))
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "strict")
    assert world.log.lines[-1]["check"] == "dnsbl/free,dnsbl/more"


def test_failures_are_logged_with_their_cause(world: World) -> None:
    world.recorder.broken = True
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice")
    assert world.log.lines == [
        {"error": "cannot decide now", "reference": "REF00", "why": "disk full"}
    ]


def test_the_directory_is_given_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    find = TomlDirectory.find

    def timed(
        self: TomlDirectory, addresses: Collection[Address], deadline: Deadline
    ) -> Mapping[str, User]:
        given.append(deadline.remaining())
        return find(self, addresses, deadline)  # type: ignore[return-value]

    monkeypatch.setattr(TomlDirectory, "find", timed)
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice")
    assert given
    assert all(4 < seconds <= 5 for seconds in given)


def test_the_check_s_own_contact_comes_first() -> None:
    decision = decided("listed", ("contact", "https://list.example"))
    said = refusal(None, decision, "help@example.test", "REF", rejected=True)
    assert said == Reject(550, "5.7.1", "listed; help: https://list.example; reference REF")


def test_contact_and_reference_are_whole_however_long_address_and_reason_are() -> None:
    address = Address("a" * 250, "example.test")
    contact = "https://" + "c" * 192
    said = refusal(address, decided("r" * 400), contact, "ABCDEFGHIJKL", rejected=False)
    assert isinstance(said, TempFail)
    assert len(said.text) == 400
    assert said.text.startswith("<aaaa")
    assert said.text.endswith(f"...; help: {contact}; reference ABCDEFGHIJKL")


def test_a_contact_is_cut_and_made_printable_before_the_reference_is() -> None:
    said = refusal(None, decided("listed"), "h\u00e9lp" * 100, "ABCDEFGHIJKL", rejected=True)
    assert len(said.text) <= 400
    assert said.text.isascii()
    assert said.text.endswith("...; reference ABCDEFGHIJKL")


def test_a_decision_without_a_reason_is_told_as_policy() -> None:
    said = refusal(None, Decision(Action.REJECT), "help", "REF", rejected=True)
    assert said.text == "refused by policy; help: help; reference REF"
