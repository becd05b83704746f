"""The chain alone: who is refused at RCPT, what travels, what is removed, what failure costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iems.codec.findings import decode
from iems.directory.reader import DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from milters.checks.protocol import Stage
from milters.reply import ChangeHeader, Continue, InsertHeader, Reject, TempFail
from tests.unit.chain.world import KEY, World, finish, rcpt


@pytest.fixture
def world() -> World:
    return World()


def test_each_recipient_decides_for_himself(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    alice, bob = rcpt(chain, "alice", "bob")
    assert alice == Reject(
        550,
        "5.7.1",
        "<alice@example.test>: 192.0.2.66 is listed; help: help@example.test; reference REF00",
    )
    assert bob == Continue()
    assert [(one.recipient, one.action) for one in world.recorder.committed] == [
        ("alice@example.test", "reject")
    ]


def test_an_alias_is_refused_only_if_all_whom_it_reaches_refuse(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    both, two = rcpt(chain, "both", "two")
    assert both == Continue()
    assert isinstance(two, TempFail)
    assert two.code == 450


def test_an_enforced_list_refuses_everybody_even_postmaster(world: World) -> None:
    chain = world.connect("192.0.2.99")
    chain.mail("<a@sender.example>", {})
    replies = rcpt(chain, "alice", "bob", "postmaster", "both")
    assert all(isinstance(reply, Reject) for reply in replies)


def test_a_role_address_is_not_refused_by_what_its_owner_chose(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    assert rcpt(chain, "postmaster") == [Continue()]


def test_an_unlisted_client_reaches_all(world: World) -> None:
    chain = world.connect("192.0.2.1")
    chain.mail("<a@sender.example>", {})
    assert rcpt(chain, "alice", "bob", "strict", "nobody") == [Continue()] * 4


def test_an_authenticated_client_is_exempt(world: World) -> None:
    chain = world.connect(daemon="submission")
    chain.mail("<alice@example.test>", {"{auth_authen}": "alice@example.test"})
    assert rcpt(chain, "alice", "strict") == [Continue()] * 2


def test_mail_that_does_not_come_by_smtp_is_never_refused_at_rcpt(world: World) -> None:
    chain = world.connect(daemon="local")
    chain.mail("root", {})
    assert chain.rcpt("alice@example.test", {}) == Continue()
    assert world.recorder.committed == []


def test_findings_travel_and_name_no_recipient(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    rcpt(chain, "alice", "bob")
    reply, edits = finish(chain, (b"Subject", b" hi"), (b"Message-ID", b" <m@x>"))
    assert reply == Continue()
    authres, passed = edits[1], edits[0]
    assert isinstance(passed, InsertHeader)
    assert isinstance(authres, InsertHeader)
    decoded = decode(passed.value, lambda _key: KEY.secret)
    assert (decoded.reference, decoded.queue_id, decoded.sender, decoded.channel) == (
        "REF00", "4QueueId", "a@sender.example", "internet",
    )  # fmt: skip
    assert [one.band for one in decoded.findings] == ["listed", ""]
    assert b"example.test" not in passed.value
    assert world.recorder.added[0].message_id == "<m@x>"


def test_the_login_goes_to_the_agent_with_them(world: World) -> None:
    chain = world.connect(daemon="submission")
    for login in ("alice@example.test", ""):
        chain.mail("<alias@example.test>", {"{auth_authen}": login} if login else {})
        rcpt(chain, "alice")
        _reply, [passed, *_others] = finish(chain, (b"Subject", b" hi"))
        assert isinstance(passed, InsertHeader)
        assert decode(passed.value, lambda _key: KEY.secret).login == login


def test_forged_headers_are_removed_from_the_last_to_the_first(world: World) -> None:
    chain = world.connect("192.0.2.1")
    chain.mail("<>", {})
    rcpt(chain, "bob")
    _reply, edits = finish(
        chain,
        (b"X-IEMS-Findings", b" forged"),
        (b"Authentication-Results", b" Mail.Example.Test; iprev=pass"),
        (b"x-iems-FINDINGS", b"\r\n forged"),
        (b"Authentication-Results", b" other.example; dkim=pass"),
        (b"X-Iems-Verdict", b" deliver"),
    )
    removed = [(edit.name, edit.occurrence) for edit in edits if isinstance(edit, ChangeHeader)]
    assert removed == [
        (b"X-Iems-Verdict", 1),
        (b"x-iems-FINDINGS", 2),
        (b"Authentication-Results", 1),
        (b"X-IEMS-Findings", 1),
    ]


def test_messages_of_one_connection_do_not_share_their_state(world: World) -> None:
    chain = world.connect()
    chain.mail("<one@sender.example>", {})
    rcpt(chain, "bob")
    _reply, first = finish(chain, (b"X-IEMS-Verdict", b" x"))
    chain.mail("<two@sender.example>", {})
    rcpt(chain, "bob")
    _reply, second = finish(chain, (b"Subject", b" hi"))
    assert len(first) == 3
    assert len(second) == 2
    assert chain.reference == "-"


def test_rset_forgets_the_message_and_keeps_the_connection(world: World) -> None:
    chain = world.connect()
    chain.mail("<one@sender.example>", {})
    chain.abort()
    chain.mail("<two@sender.example>", {})
    assert isinstance(rcpt(chain, "alice")[0], Reject)
    assert chain.reference == "REF01"


def test_a_directory_that_is_down_is_a_temporary_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_arguments: object) -> None:
        raise DirectoryUnavailable("no answer")

    monkeypatch.setattr(TomlDirectory, "find", down)
    chain = world.connect("192.0.2.1")
    chain.mail("<a@sender.example>", {})
    assert rcpt(chain, "bob") == [TempFail(451, "4.3.0", "try again later; reference REF00")]
    local = world.connect(daemon="local")
    local.mail("root", {})
    assert local.rcpt("bob@example.test", {}) == Continue()


def test_a_refusal_that_cannot_be_recorded_is_a_temporary_failure(world: World) -> None:
    world.recorder.broken = True
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    assert isinstance(rcpt(chain, "alice")[0], TempFail)


@pytest.mark.parametrize(
    ("recipients", "kind"),
    [(["alice"], Reject), (["dora"], TempFail), (["alice", "bob"], Continue)],
)
def test_what_is_known_late_refuses_at_the_end_if_all_agree(
    recipients: list[str], kind: Callable[..., object]
) -> None:
    chain = World(Stage.HEADERS).connect()
    chain.mail("<a@sender.example>", {})
    assert rcpt(chain, *recipients) == [Continue()] * len(recipients)
    reply, edits = finish(chain, (b"Received", b" from x"))
    assert isinstance(reply, kind)  # type: ignore[arg-type]
    assert bool(edits) == (kind is Continue)


@pytest.mark.parametrize("recipient", ['<"alice+\x01"@example.test>', "<alice@\udcff>", "<@@>"])
def test_a_recipient_that_cannot_be_read_is_refused_and_recorded(
    world: World, recipient: str
) -> None:
    chain = world.connect()
    chain.mail("<not an address>", {})
    text = "this address cannot be read; reference REF00"
    assert chain.rcpt(recipient, {}) == Reject(553, "5.1.3", text)
    (record,) = world.recorder.committed
    assert (record.action, record.reply) == ("reject", f"553 5.1.3 {text}")
    assert record.recipient.isprintable()
    reasons = record.details["reasons"]
    assert isinstance(reasons, list)
    (reason,) = reasons
    assert (reason["check"], reason["band"]) == ("account", "unreadable")
    assert (reason["layer"], reason["enforced"]) == ("site", True)
    assert chain.rcpt(str(Address("postmaster", "mail.example.test")), {}) == Continue()
    world.recorder.broken = True
    assert isinstance(chain.rcpt(recipient, {}), TempFail)


def test_an_address_is_what_postfix_understands_it_to_be(world: World) -> None:
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    odd = "<(a comment)alice @ example.test>"
    assert chain.rcpt(odd, {}) == Continue()
    answer = chain.rcpt(odd, {"{rcpt_addr}": "alice@example.test"})
    assert isinstance(answer, Reject)
    assert answer.text.startswith("<alice@example.test>: ")


def test_what_is_enforced_holds_for_those_whom_only_postfix_knows(world: World) -> None:
    chain = world.connect("192.0.2.99")
    chain.mail("<a@sender.example>", {})
    (answer,) = rcpt(chain, "somebody")
    assert isinstance(answer, Reject)
    chain = world.connect()
    chain.mail("<a@sender.example>", {})
    assert rcpt(chain, "somebody") == [Continue()]


def test_a_recipient_that_cannot_be_read_is_not_refused_where_no_smtp_client_waits(
    world: World,
) -> None:
    chain = world.connect(daemon="local")
    chain.mail("<a@sender.example>", {})
    assert chain.rcpt("<@@>", {}) == Continue()
