"""Bounces that return spam: which they are, and what is done with them and with no others."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from iems.codec.findings import Passed, encode
from iems.codec.header import parse_header
from iems.model.finding import Finding
from iems.settings.load import from_table
from milters.bounces import LIMIT, returned
from milters.chain import Chain
from milters.reply import InsertHeader
from tests.unit.chain.world import KEY, SETTINGS, World

SENDER = "a@sender.example"
TAG = InsertHeader(0, b"X-IEMS-Bounce", b"spam")
KIND = b'multipart/report; report-type=delivery-status;\n\tboundary="4X.1/mail.example.test"'
LISTED = Finding("dnsbl/free", "fail", "listed", "listed")
HARD = Finding("dnsbl/hard", "fail", "listed", "listed")
CLEAR = Finding("dnsbl/free", "none")
FAILED = Finding("dnsbl/hard", "temperror", "temperror", "nobody answers")


def found(*seen: Finding, queue_id: str = "4Q", key: bytes = KEY.secret) -> bytes:
    """The value of the field."""
    return encode(Passed("REF", queue_id, "internet", SENDER, 1, seen), KEY.id, key)


def report(
    *fields: bytes,
    queue_id: str = "X-Postfix-Queue-ID: 4Q",
    sender: str = f"X-Postfix-Sender: rfc822; {SENDER}",
    kind: str = "message/rfc822",
    notice: str = "I'm sorry",
) -> bytes:
    """What bounce(8) writes below the header, with CRLF as the milter gets it."""
    lines = [
        *("This is a MIME-encapsulated message.", "", "--4X.1/mail.example.test"),
        *("Content-Description: Notification", "Content-Type: text/plain; charset=us-ascii", ""),
        *(notice, "", "--4X.1/mail.example.test", "Content-Description: Delivery report"),
        *("Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mail.example.test"),
        *(queue_id, sender, "", "Final-Recipient: rfc822; alice@example.test", "Status: 5.7.1"),
        *("", "--4X.1/mail.example.test", "Content-Description: Undelivered Message"),
        *(f"Content-Type: {kind}", "", "Return-Path: <a@sender.example>"),
        *(f"X-IEMS-Findings: {one.decode()}" for one in fields),
        *("Subject: hello", "", "text", "", "--4X.1/mail.example.test--", ""),
    ]
    return "\r\n".join(lines).encode()


def bounced(
    body: bytes,
    *,
    to: str = "a@sender.example",
    sender: str = "",
    daemon: str = "local",
    tag: bool = True,
    kind: bytes = KIND,
) -> tuple[bool, World]:
    """Whether the milter tags it."""
    world = World()
    hard = SETTINGS.replace('{ listed = "reject" }', '{ listed = "reject", temperror = "defer" }')
    settings = f"{hard}[milter]\ntag_spam_bounces = {str(tag).lower()}\n"
    world.runtime = replace(world.runtime, settings=from_table(tomllib.loads(settings)))
    chain: Chain = world.connect("127.0.0.1", daemon)
    chain.mail(f"<{sender}>", {})
    chain.rcpt(f"<{to}>", {})
    chain.header(b"Content-Type", b" " + kind)
    chain.end_of_headers()
    for at in range(0, len(body), 1000):
        chain.body(body[at : at + 1000])
    _reply, edits = chain.end_of_message({"i": "4B"})
    return TAG in edits, world


def notes(world: World) -> list[str]:
    """What stands in the record of the message."""
    [record] = world.recorder.added
    told = record.details["notes"]
    assert isinstance(told, list)
    return told


@pytest.mark.parametrize(
    "body",
    [
        report(found(LISTED)),
        report(found(CLEAR, FAILED, HARD)),
        report(found(LISTED), kind="text/rfc822-headers"),
        report(found(LISTED), kind="Message/Global; x=y"),
        report(found(LISTED), kind="message/global").replace(
            b"message/delivery-status", b"message/global-delivery-status"
        ),
        report(found(LISTED)).replace(b"\r\n", b"\n"),
        report(
            found(LISTED),
            queue_id="--4X.1/mail.example.testy: no end of a part\r\nX-Postfix-Queue-ID: 4Q",
        ),
        report(found(LISTED), notice="x" * (LIMIT // 2)),
    ],
)
def test_a_bounce_of_spam_is_tagged(body: bytes) -> None:
    tagged, world = bounced(body)
    assert tagged
    [note] = notes(world)
    assert note.startswith("a bounce of spam: REF has dnsbl/")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (report(), "0 fields"),
        (report(found(LISTED), found(LISTED)), "2 fields"),
        (report(found(LISTED, key=b"x" * 32)), "wrong HMAC"),
        (report(found(LISTED, queue_id="4R")), "of another message"),
        (report(found(LISTED, queue_id=""), queue_id="X-Other: 1"), "of another message"),
        (report(found(LISTED), queue_id="X-Postfix-Queue-ID: 4Q\r\nX-Postfix-Queue-ID: 4Q"),
         "of another message"),
        (report(found(LISTED), sender="X-Postfix-Sender: rfc822; b@sender.example"),
         "of another sender"),
        (report(found(LISTED), sender="X-Other: 1"), "of another sender"),
        (report(b"v=1;"), "parameters"),
    ],
)  # fmt: skip
def test_findings_that_are_not_the_messages_own_do_not_count(body: bytes, why: str) -> None:
    tagged, world = bounced(body)
    assert not tagged
    [note] = notes(world)
    assert note.startswith("the findings that this bounce returns do not count: ")
    assert why in note


@pytest.mark.parametrize(
    "body",
    [
        report(found(CLEAR)),
        report(found(FAILED)),
        report(found(Finding("spf", "softfail", "softfail"))),
        b"",
        b"--4X.1/mail.example.test\r\n\r\n\r\n--4X.1/mail.example.test--\r\n",
        report(found(LISTED), kind="text/plain"),
        report(found(LISTED)).replace(b"message/delivery-status", b"text/plain"),
        report(found(LISTED), notice="x" * LIMIT),
    ],
)
def test_another_bounce_is_left_alone(body: bytes) -> None:
    tagged, world = bounced(body)
    assert not tagged
    assert not notes(world)


def test_only_what_this_machine_sends_to_outside_is_looked_at() -> None:
    body = report(found(LISTED))
    assert bounced(body)[0]
    assert bounced(body, to="away@example.test")[0]
    assert not bounced(body, to="bob@example.test")[0]
    assert not bounced(body, sender="b@elsewhere.example")[0]
    assert not bounced(body, daemon="internet")[0]
    assert not bounced(body, tag=False)[0]
    assert not bounced(body, kind=b'multipart/mixed; boundary="4X.1/mail.example.test"')[0]
    assert not bounced(body, kind=b"multipart/report; report-type=delivery-status")[0]


def test_what_is_no_report_returns_nothing() -> None:
    header = parse_header(b"Content-Type: " + KIND + b"\r\n")
    assert returned(header, b"--4X.1/mail.example.test") is None
    got = returned(header, report(found(LISTED)))
    assert got is not None
    assert (got.queue_id, got.sender) == ("4Q", SENDER)
    assert [one.name for one in got.header.fields] == [
        b"Return-Path",
        b"X-IEMS-Findings",
        b"Subject",
    ]
