"""Findings count only with a right HMAC and on the message that they were made for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iems.codec.findings import Passed, encode
from iems.model.finding import TEMPERROR, Finding
from lmtp.headers import read
from lmtp.provenance import Origin, Provenance, received_id

SECRET = b"k" * 32
LISTED = Finding("dnsbl/one", "fail", "listed", "on it")
MISSING = (Finding("dnsbl/one", TEMPERROR, TEMPERROR),)
PASSED = Passed("ref012345678", "4XyZ", "internet", "s@x.test", 1_700_000_000, (LISTED,))
RECEIVED = (
    b"Received: from spike.example (spike.example [192.0.2.1])\r\n"
    b"\tby mail.example.test (Postfix) with ESMTPS id 4XyZ\r\n"
    b"\tfor <a@b.test>; Mon, 20 Nov 2023 10:00:00 +0100 (CET)\r\n"
)
LOCAL = (
    b"Received: by mail.example.test (Postfix, from userid 0)\r\n"
    b"\tid 4XyZ; Mon, 20 Nov 2023 10:00:00 +0100 (CET)\r\n"
)


def field(passed: Passed = PASSED, key: str = "k1", secret: bytes = SECRET) -> bytes:
    """The header field with these findings."""
    return b"X-IEMS-Findings:" + encode(passed, key, secret) + b"\r\n"


def of(raw: bytes, ident: str = "4XyZ") -> Provenance:
    """The provenance of a message with this header."""
    origin = Origin("mail.example.test", {"k1": SECRET}.get, MISSING, lambda: "new012345678")
    return origin.of(read(raw), ident)


def test_genuine_findings_count() -> None:
    expected = Provenance("ref012345678", "4XyZ", "internet", 1_700_000_000.0, (LISTED,))
    assert of(RECEIVED + field() + b"Subject: x\r\n") == expected
    assert of(LOCAL + field(), ident="") == expected
    assert of(RECEIVED + field(), ident="") == expected


@pytest.mark.parametrize(
    ("raw", "ident"),
    [
        (RECEIVED, "4XyZ"),
        (field() + field(), "4XyZ"),
        (field() + b"x-iems-findings : forged\r\n", "4XyZ"),
        (field(), "4Other"),
        (field(), ""),
        (b"Received: by other.example (Postfix) id 4XyZ; x\r\n" + LOCAL + field(), ""),
        (LOCAL.replace(b"4XyZ", b"4Other") + field(), ""),
        (field(key="k2"), "4XyZ"),
        (field(secret=b"x" * 32), "4XyZ"),
        (field(replace(PASSED, queue_id="")), ""),
        (field().replace(b"v=1", b"v=2"), "4XyZ"),
        (b"X-IEMS-Findings: forged\r\n", "4XyZ"),
        (b"X-IEMS-Findings:\r\n", "4XyZ"),
    ],
)
def test_anything_else_is_temperror_and_never_nothing_found(raw: bytes, ident: str) -> None:
    found = of(raw, ident)
    assert found.findings == MISSING
    assert found.channel == ""
    assert found.reference == "new012345678"
    assert found.fault


def test_the_time_without_findings_is_that_of_the_topmost_received() -> None:
    assert of(RECEIVED).time == 1_700_470_800.0
    assert of(b"Received: nonsense\r\n").time == 0.0
    assert of(b"Subject: x\r\n").time == 0.0


@pytest.mark.parametrize(
    ("received", "queue_id"),
    [
        (b"by mail.example.test (Postfix)\r\n\tid 4cDlx0; x", "4cDlx0"),
        (b"by MAIL.example.test (Some name) id 4cDlx0; x", "4cDlx0"),
        (b"from a (b [1.2.3.4])\r\n\tby mail.example.test (Postfix) with UTF8SMTPS id 4c; x", "4c"),
        (b"from mail.example.test (x) id 4c by other (Postfix) id 4d; x", ""),
        (b"by notmail.example.test.evil (Postfix) id 4c; x", ""),
        (b"by mailxexample.test (Postfix) id 4c; x", ""),
    ],
)
def test_the_queue_id_in_received(received: bytes, queue_id: str) -> None:
    block = read(
        b"Received: " + received + b"\r\nReceived: by mail.example.test (P) id 4old; x\r\n"
    )
    assert received_id(block, "mail.example.test") == queue_id
