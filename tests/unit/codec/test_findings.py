"""X-IEMS-Findings: what is encoded comes back, and nothing else does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.findings import LIMIT, FindingsError, Passed, decode, encode
from iems.model.finding import Finding

SECRET = bytes(range(32))
ascii_text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
finding = st.builds(
    Finding,
    check=ascii_text,
    outcome=ascii_text,
    band=ascii_text,
    reason=ascii_text,
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    evidence=st.lists(st.tuples(ascii_text, ascii_text), max_size=3).map(tuple),
)
token = st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True)
passed = st.builds(
    Passed,
    reference=token,
    queue_id=token,
    channel=token,
    sender=st.text(max_size=60).filter(lambda text: text.encode("utf-8", "replace")),
    time=st.integers(0, 1 << 40),
    findings=st.lists(finding, max_size=5).map(tuple),
)
PASSED = Passed("REF", "4Abc", "internet", "a@b.example", 5, (Finding("iprev", "pass"),))


def secret_of(key_id: str) -> bytes | None:
    return SECRET if key_id == "k1" else None


@given(passed)
def test_round_trip(value: Passed) -> None:
    encoded = encode(value, "k1", SECRET)
    assert decode(encoded, secret_of) == value
    assert decode(re.sub(rb"\r\n\t", b"\r\n   \t", encoded), secret_of) == value
    assert all(len(line) < 80 for line in encoded.split(b"\r\n"))


@given(passed, st.data())
def test_any_changed_byte_is_refused(value: Passed, data: st.DataObject) -> None:
    encoded = bytearray(encode(value, "k1", SECRET))
    at = data.draw(st.integers(0, len(encoded) - 1))
    byte = data.draw(st.integers(0, 255))
    before = bytes(encoded)
    encoded[at] = byte
    if b"".join(before.split()) == b"".join(bytes(encoded).split()):
        return
    with pytest.raises(FindingsError):
        decode(bytes(encoded), secret_of)


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(FindingsError):
        decode(value, secret_of)


def test_a_key_that_is_gone_is_refused() -> None:
    with pytest.raises(FindingsError, match="unknown key"):
        decode(encode(PASSED, "k0", SECRET), secret_of)


def test_findings_of_another_message_do_not_verify() -> None:
    other = encode(PASSED, "k1", SECRET).replace(b"q=4Abc", b"q=4Abd")
    with pytest.raises(FindingsError, match="wrong HMAC"):
        decode(other, secret_of)


def test_what_does_not_fit_drops_its_evidence_and_keeps_its_band() -> None:
    many = tuple(
        Finding(f"dnsbl/{n}", "fail", "listed", "r" * 200, None, (("a", "b" * 200),))
        for n in range(40)
    )
    value = encode(Passed("REF", "4Abc", "internet", "", 5, many), "k1", SECRET)
    assert len(value) <= LIMIT
    kept = decode(value, secret_of).findings
    assert [one.band for one in kept] == ["listed"] * 40
    assert not any(one.evidence or one.reason for one in kept)


def test_a_thousand_findings_are_an_error_and_not_a_larger_header() -> None:
    many = tuple(Finding(f"dnsbl/{n}", "fail", "listed") for n in range(1000))
    with pytest.raises(FindingsError, match="do not fit"):
        encode(Passed("REF", "4Abc", "internet", "", 5, many), "k1", SECRET)
