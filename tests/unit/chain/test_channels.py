"""Where mail comes from and where it goes: whose policy counts for whom the agent never sees."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from iems.codec.findings import decode
from iems.settings.load import from_table
from milters.checks.protocol import Stage
from milters.reply import Continue, InsertHeader, Reject, TempFail
from tests.unit.chain.world import KEY, LISTED, SETTINGS, ListCheck, World, finish, rcpt

OUTSIDE = """
[destinations.internet.policy."dnsbl/free"]
default = { listed = "reject" }
"""
OFFICE = """
[channels.office]
networks = ["192.0.2.0/24", "198.51.100.7"]
[channels.office.policy."dnsbl/free"]
default = { listed = "reject" }
allow = { listed = ["junk", "reject"] }
[channels.lab]
networks = ["192.0.2.64/27"]
"""


def world(more: str, stage: Stage = Stage.CONNECT) -> World:
    made = World(stage)
    settings = from_table(tomllib.loads(SETTINGS + more))
    made.runtime = replace(made.runtime, settings=settings)
    return made


def channel(made: World, ip: str, daemon: str = "internet", login: str = "") -> str:
    """The source channel that the agent is told."""
    chain = made.connect(ip, daemon)
    chain.mail("<a@sender.example>", {"{auth_authen}": login} if login else {})
    rcpt(chain, "bob")
    _reply, edits = finish(chain)
    fields = [one for one in edits if isinstance(one, InsertHeader)]
    value = next(one.value for one in fields if one.name == b"X-IEMS-Findings")
    return decode(value, {KEY.id: KEY.secret}.get).channel


@pytest.mark.parametrize(
    ("ip", "daemon", "login", "expected"),
    [
        ("192.0.2.1", "internet", "", "office"),
        ("198.51.100.7", "internet", "", "office"),
        ("::ffff:192.0.2.1", "internet", "", "office"),
        ("192.0.2.70", "internet", "", "lab"),
        ("198.51.100.8", "internet", "", "internet"),
        ("192.0.2.1", "internet", "alice@example.test", "submission"),
        ("192.0.2.1", "submission", "", "submission"),
        ("192.0.2.1", "fax", "alice@example.test", "fax"),
        ("2001:db8::1", "internet", "", "internet"),
    ],
)
def test_the_source_channel_is_by_listener_login_and_network(
    ip: str, daemon: str, login: str, expected: str
) -> None:
    assert channel(world(OFFICE), ip, daemon, login) == expected


def test_the_policy_is_that_of_the_network_s_channel() -> None:
    made = world(OFFICE.replace("[channels.lab]", "[channels.other]").replace("64/27", "0/28"))
    chain = made.connect(LISTED)
    chain.mail("<a@sender.example>", {})
    (answer,) = rcpt(chain, "bob")
    assert isinstance(answer, Reject)


def test_mail_that_leaves_this_host_has_its_policy_carried_out_at_rcpt() -> None:
    """Only where all that an address leads to says so; of mailboxes nothing changes."""
    chain = world(OUTSIDE).connect()
    chain.mail("<a@sender.example>", {})
    away, bob, mixed = rcpt(chain, "away", "bob", "mixed")
    assert isinstance(away, Reject)
    assert isinstance(bob, Continue)
    assert isinstance(mixed, Continue)


def test_without_such_a_policy_it_is_the_site_s() -> None:
    chain = world("").connect()
    chain.mail("<a@sender.example>", {})
    assert isinstance(rcpt(chain, "away")[0], Continue)
    hard = world("").connect("192.0.2.99")
    hard.mail("<a@sender.example>", {})
    assert isinstance(rcpt(hard, "away")[0], Reject)


def test_what_is_known_late_is_carried_out_at_the_end_where_all_agree() -> None:
    for names, refused in ((["away"], True), (["away", "bob"], False)):
        chain = world(OUTSIDE, Stage.HEADERS).connect()
        chain.mail("<a@sender.example>", {})
        assert all(isinstance(one, Continue) for one in rcpt(chain, *names))
        reply, _edits = finish(chain)
        assert isinstance(reply, Reject) == refused


def test_it_may_be_deferred() -> None:
    made = world(OUTSIDE.replace('"reject"', '"defer"'))
    chain = made.connect()
    chain.mail("<a@sender.example>", {})
    assert isinstance(rcpt(chain, "away")[0], TempFail)
    (record,) = made.recorder.committed
    assert record.details["reasons"][0]["layer"] == "connector internet"  # type: ignore[index]


@pytest.mark.parametrize("action", ["quarantine", "discard"])
def test_what_nobody_could_keep_or_drop_is_refused(action: str) -> None:
    """Where the site or the channel says so; a mailbox has it done by the agent."""
    said = f'[channels.internet.policy."dnsbl/free"]\ndefault = {{ listed = "{action}" }}\n'
    made = world(said)
    chain = made.connect()
    chain.mail("<a@sender.example>", {})
    away, bob, mixed = rcpt(chain, "away", "bob", "mixed")
    assert isinstance(away, Reject)
    assert "192.0.2.66 is listed" in away.text
    assert isinstance(bob, Continue)
    assert isinstance(mixed, Continue)
    (record,) = made.recorder.committed
    note = f"dnsbl/free listed: {action} is reject of what leaves this host"
    assert record.details["notes"] == [note]


def test_with_exact_who_is_elsewhere_is_of_the_class_that_his_policy_makes() -> None:
    """Else both would be taken together, and nobody could be told what becomes of his."""
    made = world("")
    made.runtime = replace(
        made.runtime,
        settings=from_table(tomllib.loads(f"exact = true\n{SETTINGS}{OUTSIDE}")),
        checks=(ListCheck("dnsbl/free", frozenset({LISTED}), Stage.HEADERS),),
    )
    chain = made.connect()
    chain.mail("<a@sender.example>", {})
    bob, away = rcpt(chain, "bob", "away")
    assert isinstance(bob, Continue)
    assert isinstance(away, TempFail)
    assert away.code == 452
