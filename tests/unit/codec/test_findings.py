"""X-IEMS-Findings: what is encoded comes back, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace

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
    login=st.text(max_size=60).filter(lambda text: text.encode("utf-8", "replace")),
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


def test_of_a_thousand_findings_those_are_left_out_that_decide_least() -> None:
    many = (
        *(Finding(f"dnsbl/{n}", "clear") for n in range(300)),
        *(Finding(f"rhsbl/{n}", "timeout", "temperror") for n in range(300)),
        *(Finding(f"header/{n}", "matched", "matched") for n in range(60)),
        Finding("dmarc", "fail", "reject"),
    )
    value = encode(Passed("REF", "4Abc", "internet", "a@b.example", 5, many), "k1", SECRET)
    assert LIMIT - 80 < len(value) <= LIMIT
    kept = [one.check for one in decode(value, secret_of).findings]
    assert kept[:61] == ["dmarc", *(f"header/{n}" for n in range(60))]
    assert kept[61:] == [f"rhsbl/{n}" for n in range(len(kept) - 61)]
    bands = tuple(Finding(f"dnsbl/list-{n:03}", "listed", "listed") for n in range(1000))
    value = encode(Passed("REF", "4Abc", "internet", "a@b.example", 5, bands), "k1", SECRET)
    assert len(decode(value, secret_of).findings) > 100


def test_a_virus_is_kept_before_all_else() -> None:
    """Even where nobody has looked for one, of which nothing else would tell the agent."""
    virus = Finding("virus", "temperror", "temperror", "no scanner answers")
    many = [Finding(f"dnsbl/{number}", "fail", "listed", "x" * 300) for number in range(300)]
    value = encode(replace(PASSED, findings=(*many, virus)), "k1", SECRET)
    kept = decode(value, secret_of).findings
    assert len(kept) < 300
    assert kept[0] == replace(virus, reason="")


def test_a_sender_that_leaves_no_room_is_an_error_and_not_a_larger_header() -> None:
    with pytest.raises(FindingsError, match="envelope does not fit"):
        encode(Passed("REF", "4Abc", "internet", "a" * LIMIT, 5, ()), "k1", SECRET)


def signed(findings: str, sender: str = "", **changed: str) -> bytes:
    """A field whose HMAC is right whatever stands in it, made after the decision record."""
    values = {"v": "1", "k": "k1", "t": "5", "r": "REF", "q": "4Abc", "c": "internet",
              "s": sender, "f": findings, **changed}  # fmt: skip
    return of(values)


def of(values: dict[str, str]) -> bytes:
    """A field with these parameters and a right HMAC."""
    digest = hmac.new(SECRET, digestmod=hashlib.sha256)
    for part in values.values():
        digest.update(len(part).to_bytes(4, "big") + part.encode())
    digested = {**values, "h": base64.b64encode(digest.digest()).decode()}
    return "".join(f" {name}={value};" for name, value in digested.items()).encode()


def rows(*rows: object) -> str:
    return base64.b64encode(json.dumps(rows).encode()).decode()


GOOD: list[object] = ["iprev", "pass", "", "", None, []]


def test_the_form_is_what_the_decision_record_says() -> None:
    assert decode(signed(rows(GOOD), "YUBiLmV4YW1wbGU="), secret_of) == PASSED


def test_evidence_is_text() -> None:
    (finding,) = decode(signed(rows([*GOOD[:5], [["a", 1], [2, "b"]]])), secret_of).findings
    assert finding.evidence == (("a", "1"), ("2", "b"))


@pytest.mark.parametrize(
    "value",
    [
        signed(rows(dict.fromkeys("abcdef"))),
        signed(rows(5)),
        signed(rows(["iprev", "pass", "", "", None])),
        signed(rows(["iprev", "pass", "", 1, None, []])),
        signed(rows(["iprev", "pass", "", "", "0.5", []])),
        signed(rows(["iprev", "pass", "", "", None, [["a"]]])),
        signed(rows("abcde" + "f")),
        signed(base64.b64encode(b"5").decode()),
        signed(base64.b64encode(b"[").decode()),
        signed(rows(GOOD) + "!"),
        signed(rows(GOOD), "YUBi!"),
        signed(rows(GOOD), t="soon"),
    ],
)
def test_what_is_signed_and_yet_no_findings_is_refused(value: bytes) -> None:
    with pytest.raises(FindingsError, match="damaged field"):
        decode(value, secret_of)


def test_another_version_is_refused() -> None:
    with pytest.raises(FindingsError, match="unknown version"):
        decode(signed(rows(GOOD), v="3"), secret_of)


def test_who_has_logged_in_is_told_by_version_two_and_all_else_by_one() -> None:
    told = replace(PASSED, channel="submission", login="a@b.example")
    values = {"v": "2", "k": "k1", "t": "5", "r": "REF", "q": "4Abc", "c": "submission",
              "s": "YUBiLmV4YW1wbGU=", "a": "YUBiLmV4YW1wbGU=", "f": rows(GOOD)}  # fmt: skip
    assert decode(of(values), secret_of) == told
    assert b" a=YUBiLmV4YW1wbGU=;" in b" ".join(encode(told, "k1", SECRET).split())
    assert encode(PASSED, "k1", SECRET).startswith(b"v=1; ")
    with pytest.raises(FindingsError, match="parameters of this version"):
        decode(of({**values, "v": "1"}), secret_of)
    del values["a"]
    with pytest.raises(FindingsError, match="parameters of this version"):
        decode(of(values), secret_of)


def test_a_field_of_twice_the_limit_is_read_and_a_longer_one_is_not() -> None:
    value = encode(PASSED, "k1", SECRET)
    padded = value + b" " * (2 * LIMIT - len(value))
    assert decode(padded, secret_of) == PASSED
    with pytest.raises(FindingsError, match="too long"):
        decode(padded + b" ", secret_of)


def test_a_sender_that_is_not_utf8_comes_back() -> None:
    strange = Passed("REF", "4Abc", "internet", "\udcff@b.example", 5, ())
    assert decode(encode(strange, "k1", SECRET), secret_of) == strange


def test_blanks_take_no_room() -> None:
    many = Passed("REF", "4Abc", "internet", "", 5, PASSED.findings * 2)
    text = b"".join(encode(many, "k1", SECRET).split()).partition(b";f=")[2].partition(b";")[0]
    row = b'["iprev","pass","","",null,[]]'
    assert base64.b64decode(text) == b"[%s,%s]" % (row, row)


def test_lines_are_filled() -> None:
    value = encode(PASSED, "k1", SECRET)
    assert (
        value.split(b"\r\n\t")[0]
        == b" v=1; k=k1; t=5; r=REF; q=4Abc; c=internet; s=YUBiLmV4YW1wbGU=;"[1:]
    )
