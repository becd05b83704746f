"""Rules about header fields: their tests, all occurrences, and how much is read."""

from __future__ import annotations

import pytest

from iems.codec.header import parse_header
from iems.codec.rule import OCCURRENCES, OCTETS, HeaderRule, Operator, Result, RuleError
from tests.cost import costs_less

MATCHED, CLEAR, UNREAD = Result.MATCHED, Result.CLEAR, Result.UNREAD


def result(header: bytes, test: str, value: str = "", **how: bool) -> Result:
    rule = HeaderRule.of("Subject", Operator(test), value, **how)
    return rule.apply(parse_header(header))[0]


@pytest.mark.parametrize(
    ("header", "test", "value", "expected"),
    [
        (b"subject: x\n", "present", "", MATCHED),
        (b"Subject:\n", "present", "", MATCHED),
        (b"X: Subject: x\n", "present", "", CLEAR),
        (b"X: x\n", "absent", "", MATCHED),
        (b"SUBJECT : x\n", "absent", "", CLEAR),
        (b"Subject:  Hello \n", "equals", "hello", MATCHED),
        (b"Subject: Hello\n", "equals", " hello ", MATCHED),
        (b"Subject: Hello you\n", "equals", "hello", CLEAR),
        (b"Subject: =?utf-8?q?STRA=C3=9FE?=\n", "equals", "strasse", MATCHED),
        (b"Subject: Hello you\n", "contains", "LO Y", MATCHED),
        (b"Subject: Hello\n you\n", "contains", "lo you", MATCHED),
        (b"Subject: Hello\n", "contains", "you", CLEAR),
        (b"Subject: Hello\n", "matches", "^h.l+o$", MATCHED),
        (b"Subject: =?utf-8?q?H=0Allo?=\n", "matches", "h.llo", MATCHED),
        (b"Subject: Hello\n", "matches", "^ello", CLEAR),
        (b"X: Hello\n", "matches", "", CLEAR),
        (b"Subject: a\nX: y\nSubject: b\nsubject: c\n", "equals", "c", MATCHED),
    ],
)
def test_what_a_test_asks(header: bytes, test: str, value: str, expected: Result) -> None:
    if test == "matches" and not value:
        value = ".*"
    assert result(header, test, value) is expected


def test_raw_and_decoded_and_case_as_said() -> None:
    header = b"Subject: =?utf-8?q?Hello?=\n"
    assert result(header, "equals", "hello") is MATCHED
    assert result(header, "equals", "hello", decoded=False) is CLEAR
    assert result(header, "contains", "=?utf-8?", decoded=False) is MATCHED
    assert result(header, "contains", "hello", case=True) is CLEAR
    assert result(header, "contains", "Hello", case=True) is MATCHED
    assert result(header, "matches", "hello", case=True) is CLEAR
    assert result(header, "matches", "Hello", case=True) is MATCHED


def test_the_field_that_passes_is_told() -> None:
    rule = HeaderRule.of("Subject", Operator.EQUALS, "b")
    block = parse_header(b"Subject: a\nSubject: b\n")
    _result, field = rule.apply(block)
    assert field is not None
    assert (field.occurrence, rule.shown(block, field)) == (2, "b")


def test_a_hundred_rules_cost_no_more_than_one_to_decode() -> None:
    words = b"=?iso-8859-1?q?a?==?iso-8859-2?q?a?=" * (OCTETS // 36)
    block = parse_header(b"Subject: " + words + b"\n" + b"X: y\n" * 9000)
    with costs_less(0.5):
        for number in range(100):
            rule = HeaderRule.of("Subject", Operator.CONTAINS, f"rule {number}")
            assert rule.apply(block)[0] is CLEAR
            raw = HeaderRule.of("Subject", Operator.CONTAINS, "iso", decoded=False)
            assert raw.apply(block)[0] is MATCHED


def test_more_than_is_read_is_neither_yes_nor_no() -> None:
    many = b"Subject: a\n" * OCCURRENCES
    assert result(many, "equals", "b") is CLEAR
    assert result(many + b"Subject: b\n", "equals", "b") is UNREAD
    assert result(b"Subject: b\n" + many, "equals", "b") is MATCHED
    assert result(many * 2, "present") is MATCHED
    long = b"Subject: " + b"a" * (OCTETS - 1) + b"\n"
    assert result(long, "equals", "b") is CLEAR
    assert result(b"Subject: a\n" + long, "contains", "aa") is UNREAD


@pytest.mark.parametrize(
    ("parts", "part", "expected"),
    [
        (("Sub ject", Operator.PRESENT), "field", "name of a header field"),
        (("Subject:", Operator.PRESENT), "field", "name of a header field"),
        (("", Operator.PRESENT), "field", "name of a header field"),
        (("Betr\u00e4ff", Operator.PRESENT), "field", "name of a header field"),
        (("Subject", Operator.EQUALS), "value", "expected a value with the test equals"),
        (("Subject", Operator.ABSENT, "x"), "value", "expected none with the test absent"),
        (("Subject", Operator.CONTAINS, "x" * 1001), "value", "at most 1000 characters"),
        (("Subject", Operator.MATCHES, "(?=x)"), "value", "a pattern of RE2: invalid perl"),
    ],
)
def test_what_makes_no_rule(
    parts: tuple[str, Operator] | tuple[str, Operator, str], part: str, expected: str
) -> None:
    with pytest.raises(RuleError, match=expected) as caught:
        HeaderRule.of(*parts)
    assert caught.value.part == part
