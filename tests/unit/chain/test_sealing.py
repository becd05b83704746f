"""What the milter seals: what was delivered here, as it was; and nothing that only looks so."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace

import pytest

from iems.codec.header import parse_header, split_message
from iems.codec.trace import LIFE, Trace, digest_of, mark
from iems.dns.resolver import Answer, Rtype, Status
from iems.store.signingkeys import DomainKeys
from iems.store.spool import MemoryBody
from milters.reply import ChangeHeader, Continue, InsertHeader
from tests.signing import key, second_opinion_of_chain
from tests.unit.chain.world import KEY, World
from tests.unit.checks.test_arc import look

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
CLOCK = 1_000_000
OTHER = key(1024, domain="other.example")
RESULTS = b"Authentication-Results: mail.example.test;\r\n\tspf=pass;\r\n\tdmarc=pass"
REST = b"From: Alice <alice@sender.example>\r\nSubject: x\r\nMessage-ID: <a@b>\r\n\r\nText.\r\n"
DELIVERED = RESULTS + b"\r\nReceived: from a by mail.example.test; now\r\n" + REST
FORGED = b"X-Sieve: Pigeonhole Sieve 0.5.19\r\nX-Sieve-Redirected-From: bob@example.test\r\n"


def keys(*kinds: str, domain: str = "example.test") -> Mapping[str, DomainKeys]:
    found = DomainKeys(domain)
    for kind in kinds:
        found = found.prepared(kind, kind, NOW)
    return {domain: found.activated(NOW)}


BOTH = keys("ed25519", "rsa")


@pytest.fixture
def world() -> World:
    made = World()
    made.use()
    made.runtime = replace(made.runtime, signing_keys=BOTH)
    return made


def marked(message: bytes, at: int = CLOCK, secret: bytes = KEY.secret) -> bytes:
    """As the agent delivers it."""
    header, rest = split_message(message)
    digest = digest_of(header, MemoryBody(rest))
    value = mark(Trace("ref012345678", at), digest, KEY.id, secret)
    return b"X-IEMS-Trace: " + value + b"\r\n" + message


def redirected(message: bytes) -> bytes:
    """As Dovecot and Pigeonhole hand it on."""
    return FORGED + b"Delivered-To: bob@example.test\r\nReceived: by mail\r\n" + message


def sent(
    world: World,
    message: bytes,
    *,
    daemon: str = "local",
    ip: str = "127.0.0.1",
    login: str = "",
) -> bytes:
    """The message with what the milter puts on top, and without what it takes out."""
    chain = world.connect(ip, daemon)
    chain.mail("<alice@sender.example>", {"{auth_authen}": login} if login else {})
    assert chain.rcpt("<far@elsewhere.example>", {}) == Continue()
    header, rest = split_message(message)
    for one in parse_header(header).fields:
        chain.header(one.name, one.value.replace(b"\r\n", b"\n"))
    chain.end_of_headers()
    chain.body(rest.removeprefix(b"\r\n"))
    reply, edits = chain.end_of_message({"i": "4QueueId"})
    assert reply == Continue()
    gone = {(one.name, one.occurrence) for one in edits if isinstance(one, ChangeHeader)}
    block = parse_header(header)
    kept = b"".join(one.raw for one in block.fields if (one.name, one.occurrence) not in gone)
    for new in edits:
        if isinstance(new, InsertHeader):
            assert new.index == 0
            kept = b"%s: %s\r\n%s" % (new.name, new.value, kept)
    return kept + rest


def answers(found: Mapping[str, DomainKeys] = BOTH) -> dict[tuple[str, Rtype], Answer]:
    return OTHER.answers | {
        (f"{one.selector}._domainkey.{domain}", "TXT"): Answer(Status.FOUND, (one.record,), 60)
        for domain, ours in found.items()
        for one in ours.keys
    }


def chain_of(message: bytes) -> dict[str, str]:
    """What the evidence says of a chain that holds; dkimpy says so, too."""
    (finding,) = look(message, answers())
    assert finding.outcome == "pass"
    assert second_opinion_of_chain(message, answers()) == "pass"
    return dict(finding.evidence)


def note(world: World) -> str:
    return str(world.log.lines[-1].get("note", ""))


@pytest.mark.parametrize(
    ("daemon", "ip"), [("local", "127.0.0.1"), ("internet", "127.0.0.1"), ("internet", "::1")]
)
def test_what_was_delivered_is_sealed_when_it_is_sent_on(
    world: World, daemon: str, ip: str
) -> None:
    """With the results of its arrival, by the key of this machine that verifiers of ARC know."""
    message = sent(world, redirected(marked(DELIVERED)), daemon=daemon, ip=ip)
    assert chain_of(message)["set-1"] == "example.test spf=pass dmarc=pass"
    assert message.startswith(b"ARC-Seal: ")
    assert b"DKIM-Signature" not in message
    assert b"X-IEMS-Trace" not in message
    assert note(world) == "sealed: rsa._domainkey.example.test; it came as ref012345678"


def test_a_chain_goes_on(world: World) -> None:
    before = RESULTS + b";\r\n\tarc=pass\r\n" + OTHER.seal(REST, 1)
    message = sent(world, redirected(marked(before)))
    assert chain_of(message)["arc.chain"] == "example.test:other.example"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (FORGED + DELIVERED, ""),
        (FORGED + b"X-IEMS-Trace: k=k1; t=1000000; r=x; h=AAAA\r\n" + DELIVERED, "was changed"),
        (FORGED + b"X-IEMS-Trace: \r\n" + DELIVERED, "cannot be read"),
        (marked(DELIVERED, secret=b"x" * 32), "was changed"),
        (marked(DELIVERED).replace(b"Text", b"Pay "), "was changed"),
        (marked(DELIVERED).replace(b"alice@sender", b"eve@sender"), "was changed"),
        (b"From: eve@evil.example\r\n" + marked(DELIVERED), "fields were added"),
        (RESULTS + b"\r\n" + marked(DELIVERED), "fields were added"),
        (marked(DELIVERED) + b"more\r\n", "was changed"),
        (marked(DELIVERED, at=CLOCK - LIFE - 1), "too long ago"),
        (marked(marked(DELIVERED)), "fields were added"),
        (marked(REST), "no results of ours"),
        (marked(RESULTS + b"\r\n" + DELIVERED), "no results of ours"),
        (marked(DELIVERED.replace(b"mail.example.test;", b"mx.else.example;")), "no results"),
        (marked(RESULTS + b"\r\n" + OTHER.seal(REST, 1)), "nobody has looked"),
        (marked(DELIVERED.replace(b"Text", b"x" * 999)), "more than 998 bytes"),
    ],
)
def test_what_is_forged_changed_or_old_is_not_sealed(
    world: World, message: bytes, why: str
) -> None:
    """Somebody with an account here has copies with marks, and makes fields as he likes."""
    assert b"ARC-Seal: i=1; a=rsa-sha256; cv=none;\r\n\td=example" not in sent(world, message)
    assert note(world).startswith("not sealed: ") or not why
    assert why in note(world)


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ({"daemon": "internet", "ip": "192.0.2.9"}, ""),
        ({"daemon": "submission", "login": "bob@example.test"}, ""),
    ],
    ids=["outside", "login"],
)
def test_only_what_this_machine_sends_on_is_sealed(
    world: World, where: dict[str, str], why: str
) -> None:
    assert b"ARC-Seal" not in sent(world, redirected(marked(DELIVERED)), **where)
    assert note(world) == why


def test_a_list_manager_that_keeps_the_mark_is_signed_for(world: World) -> None:
    """It was given the message by Dovecot, and writes for its list."""
    message = DELIVERED.replace(b"Alice <alice@sender.example>", b"both@example.test")
    found = sent(world, marked(message), daemon="list")
    assert b"DKIM-Signature: " in found
    assert b"ARC-Seal" not in found
    assert b"X-IEMS-Trace" not in found


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, ""),
        (keys("ed25519"), "there is no RSA key that signs for mail.example.test"),
        (keys("rsa", domain="elsewhere.test"), "there is no RSA key that signs"),
    ],
    ids=["none", "ed25519", "of another domain"],
)
def test_without_a_key_there_is_no_seal(
    world: World, found: Mapping[str, DomainKeys], why: str
) -> None:
    world.runtime = replace(world.runtime, signing_keys=found)
    assert b"ARC-Seal" not in sent(world, redirected(marked(DELIVERED)))
    assert why in note(world)
