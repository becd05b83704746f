"""DMARC records: what is read, what is passed over, what is no record at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.dmarc import InvalidRecordError, Policy, Record, is_record, parse

NONE, QUARANTINE, REJECT = Policy


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("v=DMARC1; p=reject", Record(REJECT)),
        ("v=DMARC1;p=quarantine;", Record(QUARANTINE)),
        (" v=DMARC1; p=none", None),
        ("v = DMARC1 ;\tp = None ; ;", Record(NONE)),
        ("v=DMARC1", Record(NONE)),
        ("v=DMARC1; rua=mailto:a@b.test", Record(NONE)),
        ("v=DMARC1; p=reject; sp=none; np=quarantine", Record(REJECT, NONE, QUARANTINE)),
        ("v=DMARC1; P=REJECT; ADKIM=S; aspf=s", Record(REJECT, None, None, True, True)),
        ("v=DMARC1; p=reject; adkim=r; aspf=x", Record(REJECT)),
        ("v=DMARC1; p=reject; pct=0", Record(REJECT, share=0)),
        ("v=DMARC1; p=reject; pct=050", Record(REJECT, share=50)),
        ("v=DMARC1; p=reject; pct=101", Record(REJECT)),
        ("v=DMARC1; p=reject; pct=-1", Record(REJECT)),
        ("v=DMARC1; p=reject; pct=" + "9" * 5000, Record(REJECT)),
        ("v=DMARC1; p=reject; t=y; psd=n", Record(REJECT, testing=True, psd="n")),
        ("v=DMARC1; p=reject; t=n; psd=x", Record(REJECT)),
        ("v=DMARC1; p=reject; psd=y; x=y; fo=1:d:s; ri=86400", Record(REJECT, psd="y")),
        ("v=DMARC1; p=reject; p=none", Record(REJECT)),
        ("v=DMARC1; nonsense; =; p=reject", Record(REJECT)),
        ("v=DMARC1; p=moo; rua=mailto:a@b.test", Record(NONE)),
        ("v=DMARC1; p=reject; sp=moo; rua=mailto:a@b.test", Record(NONE)),
        ("V=DMARC1; p=reject", None),
        ("v=dmarc1; p=reject", None),
        ("v=DMARC12; p=reject", None),
        ("v=DMARC1 p=reject", None),
        ("p=reject; v=DMARC1", None),
        ("v=spf1 -all", None),
        ("", None),
    ],
)
def test_records(text: str, record: Record | None) -> None:
    assert is_record(text) == (record is not None)
    if record is not None:
        assert parse(text) == record


@pytest.mark.parametrize("tag", ["p=moo", "p=", "p=none; sp=moo", "p=none; np=x; rua=https://x"])
def test_a_policy_that_cannot_be_read_is_none_but_for_those_who_ask_for_reports(tag: str) -> None:
    with pytest.raises(InvalidRecordError):
        parse(f"v=DMARC1; {tag}")


def test_a_subdomain_has_its_own_policy_where_one_is_given() -> None:
    both = Record(REJECT, NONE, QUARANTINE)
    assert both.for_subdomain(exists=True) is NONE
    assert both.for_subdomain(exists=False) is QUARANTINE
    assert Record(REJECT, NONE).for_subdomain(exists=False) is NONE
    assert Record(REJECT).for_subdomain(exists=False) is REJECT


def test_what_is_eased_is_one_step_less() -> None:
    assert [policy.eased() for policy in Policy] == [NONE, NONE, QUARANTINE]


@given(st.text())
def test_any_text_is_a_record_or_none(text: str) -> None:
    whole = f"v=DMARC1;{text}"
    assert is_record(whole)
    with contextlib.suppress(InvalidRecordError):
        assert 0 <= parse(whole).share <= 100
