"""Rules of domains and lists about header fields: their text, and what they find."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec import headers
from iems.codec.header import parse_header
from iems.codec.headers import PER_MESSAGE, OwnFindings, OwnRule
from iems.model.finding import Finding
from iems.model.message import HeaderBlock
from iems.model.policy import Action, Kind, Layer, Subject

DOMAIN = Subject(Kind.DOMAIN, "example.test")
HEAD = "Subject: =?utf-8?q?Casino?= for you\nX-Raw: =?utf-8?q?Casino?=\nX-Two: a  b\n"


def layer(*texts: str, subject: Subject = DOMAIN) -> Layer:
    rules = [OwnRule.parse(text) for text in texts]
    return Layer(subject, headers={one.check(subject.name): one.test for one in rules})


def block(head: str) -> HeaderBlock:
    return parse_header(head.replace("\n", "\r\n").encode())


def found(*texts: str, head: str = HEAD) -> list[Finding]:
    return list(OwnFindings(block(head)).of([layer(*texts)]))


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("a junk Subject contains CASINO for", True),
        ("a junk Subject contains,case CASINO for", False),
        ("a junk Subject contains,raw casino for", False),
        ("a junk X-Raw contains,raw ?q?casino?", True),
        ("a junk X-Raw contains,raw,case ?q?casino?", False),
        (r"a junk Subject matches ^\w+ for you$", True),
        ("a junk subject present", True),
        ("a junk Date absent", True),
        ("a junk X-Two equals a  b", True),
        ("a junk X-Two equals a b", False),
    ],
)
def test_a_text_is_a_rule(text: str, matches: bool) -> None:
    assert str(OwnRule.parse(text)) == text
    assert [one.band for one in found(text)] == ["matched"] * matches


def test_what_it_finds_names_owner_and_rule() -> None:
    team = layer("bet.1 tag Subject present", subject=Subject(Kind.LIST, "team@example.test"))
    one, two = OwnFindings(block(HEAD)).of([layer("casino junk Subject contains casino"), team])
    assert (one.check, one.outcome) == ("header/example.test/casino", "matched")
    assert one.reason == "the message matches rule casino of example.test about field Subject"
    assert dict(one.evidence) == {
        "field": "Subject",
        "occurrence": "1",
        "value": "Casino for you",
    }
    assert (one.own, one.counted) == (True, "header/*")
    assert two.check == "header/team@example.test/bet.1"
    assert "rule bet.1 of team@example.test" in two.reason


def test_more_than_is_read_is_temporary() -> None:
    [one] = found("a junk Subject contains casino", head="Subject: x\n" * 101)
    assert (one.band, one.own) == ("temperror", True)


def test_each_rule_is_applied_once_to_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[str] = []
    real = headers.finding

    def noted(check: str, *rest: object) -> Finding:
        applied.append(check)
        return real(check, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(headers, "finding", noted)
    own, rules = OwnFindings(block(HEAD)), layer("a junk Subject present", "b junk Date present")
    assert len({own.of([rules]) for _recipient in range(50)}) == 1
    assert len(applied) == 2


def test_more_rules_than_are_applied_to_a_message_are_temporary() -> None:
    own, texts = OwnFindings(block(HEAD)), [f"r{one} junk Subject present" for one in range(20)]
    domains = [layer(*texts, subject=Subject(Kind.DOMAIN, f"d{one}.test")) for one in range(11)]
    bands = [one.band for domain in domains for one in own.of([domain])]
    assert bands == ["matched"] * PER_MESSAGE + ["temperror"] * 20


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected NAME ACTION FIELD TEST"),
        ("a junk", "expected NAME ACTION FIELD TEST"),
        ("a junk Subject contains x\ny", "printable"),
        (f"a junk Subject contains {'x' * 500}", "at most 500 characters"),
        ("A junk Subject present", "'A' is no name"),
        ("a/b junk Subject present", "'a/b' is no name"),
        ("a explode Subject present", "is no action"),
        ("a junk Sub:ject present", "field: expected the name of a header field"),
        ("a junk Subject is x", "test: expected one of present, absent, equals"),
        ("a junk Subject contains,loud x", "test: expected one of"),
        ("a junk Subject contains", "value: expected a value"),
        ("a junk Subject present x", "value: expected none"),
        ("a junk Subject matches (?!x)", "value: expected a pattern of RE2"),
        (r"a junk Subject matches (x+x+)+\1", "value: expected a pattern of RE2"),
        ("a junk Subject matches .{90}", "value: expected a pattern of at most 200 instructions"),
    ],
)
def test_what_is_none_is_refused(text: str, told: str) -> None:
    for _again in range(2):
        with pytest.raises(ValueError, match=re.escape(told)):
            OwnRule.parse(text)


@given(st.text(max_size=80) | st.text(max_size=30).map("a junk Subject matches {}".format))
def test_any_text_is_a_rule_or_an_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        one = OwnRule.parse(text)
        assert OwnRule.parse(str(one)) == one
        assert one.action in Action
        found(str(one))
