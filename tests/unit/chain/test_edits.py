"""Which fields are forged, and what is put in: by channel, and in which place."""

from __future__ import annotations

import pytest

from iems.codec.findings import Passed
from iems.codec.header import parse_header
from iems.model.finding import Finding
from iems.model.message import HeaderBlock
from iems.store.keys import Key
from milters.edits import forged, insertions
from milters.reply import InsertHeader

HOSTNAME = "mail.example.test"
KEY = Key("k1", b"s" * 32)


def header(*fields: tuple[bytes, bytes]) -> HeaderBlock:
    return parse_header(b"".join(b"%s:%s\r\n" % field for field in fields))


PASSED = Passed("REF", "4Q", "internet", "", 5, (Finding("iprev", "pass"),))


@pytest.mark.parametrize(
    "field",
    [
        (b"X-IEMS-Findings", b" v=1"),
        (b"x-iems-verdict", b""),
        (b"X-IEMS-Trace", b" k=k1"),
        (b"X-IEMS-Fact", b" known=allow-list"),
        (b"x-iems-score", b" 0"),
        (b"X-IEMS-Verdict ", b" junk"),
        (b"X-IEMS-FINDINGS\t", b" v=1"),
        (b"Authentication-Results", b" mail.example.test; iprev=pass"),
        (b"AUTHENTICATION-RESULTS", b"MAIL.EXAMPLE.TEST"),
        (b"Authentication-Results", b""),
        (b"Authentication-Results", b" (unended; other.example"),
        (b"Authentication-Results", b" mail.example.test./1; iprev=pass"),
    ],
)
def test_forged(field: tuple[bytes, bytes]) -> None:
    block = header((b"Subject", b" x"), field)
    assert forged(block, HOSTNAME) == block.fields[1:]


@pytest.mark.parametrize(
    "field",
    [
        (b"Authentication-Results", b" other.example; iprev=pass"),
        (b"Authentication-Results", b" mail.example.test.other.example; iprev=pass"),
        (b"X-Authentication-Results", b" mail.example.test; iprev=pass"),
        (b"X-IEMS-Findings-Not", b" x"),
        (b"Subject", b" mail.example.test; x"),
    ],
)
def test_not_ours(field: tuple[bytes, bytes]) -> None:
    assert forged(header(field), HOSTNAME) == ()


def test_only_mail_from_outside_gets_results_for_everybody() -> None:
    findings, results = insertions(PASSED, PASSED.findings, KEY, HOSTNAME)
    assert isinstance(findings, InsertHeader)
    assert (findings.index, findings.name) == (0, b"X-IEMS-Findings")
    assert results == InsertHeader(
        0, b"Authentication-Results", b"mail.example.test;\r\n\tiprev=pass"
    )
    for channel in ("submission", "local"):
        inside = Passed("REF", "4Q", channel, "", 5, PASSED.findings)
        assert len(insertions(inside, inside.findings, KEY, HOSTNAME)) == 1
