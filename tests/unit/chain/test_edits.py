"""Which fields are forged, and what is put in: by channel, and in which place."""

from __future__ import annotations

import pytest

from iems.codec.findings import Passed
from iems.model.finding import Finding
from iems.store.keys import Key
from milters.edits import insertions, removals
from milters.reply import ChangeHeader, InsertHeader

HOSTNAME = "mail.example.test"
KEY = Key("k1", b"s" * 32)
PASSED = Passed("REF", "4Q", "internet", "", 5, (Finding("iprev", "pass"),))


@pytest.mark.parametrize(
    "field",
    [
        (b"X-IEMS-Findings", b" v=1"),
        (b"x-iems-verdict", b""),
        (b"X-IEMS-Verdict ", b" junk"),
        (b"\tX-IEMS-FINDINGS", b" v=1"),
        (b"Authentication-Results", b" mail.example.test; iprev=pass"),
        (b"AUTHENTICATION-RESULTS", b"MAIL.EXAMPLE.TEST"),
        (b"Authentication-Results", b""),
        (b"Authentication-Results", b" (unended; other.example"),
        (b"Authentication-Results", b" mail.example.test./1; iprev=pass"),
    ],
)
def test_forged(field: tuple[bytes, bytes]) -> None:
    assert removals([(b"Subject", b" x"), field], HOSTNAME) == (ChangeHeader(field[0], 1, None),)


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
    assert removals([field], HOSTNAME) == ()


def test_occurrences_are_counted_by_name_whatever_stands_between() -> None:
    results = b"Authentication-Results"
    header = [(results, b" a.test"), (b"X", b""), (results, b" mail.example.test"), (b"x", b"")]
    assert removals(header, HOSTNAME) == (ChangeHeader(results, 2, None),)


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
