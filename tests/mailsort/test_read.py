"""Errors of rules: they name the rule, its line and what is expected; nothing is too large."""

from __future__ import annotations

import json

import pytest

from sieve.mailsort.kinds import MOST_FAULTS, Faults
from sieve.mailsort.language import MAILSORT
from sieve.mailsort.read import MOST_OCTETS, MailsortError, read_json, read_toml
from sieve.mailsort.rule import AddressTest, HeaderTest, Mailsort, Move, Rule, Stop, TimeTest


def _if(condition: str) -> str:
    return f'[[rule]]\nname = "One"\nif.{condition}\nthen = "stop"\n'


def _then(action: str) -> str:
    return f'[[rule]]\nname = "One"\nthen = {action}\n'


ONE = 'error: line 3, rule "One": '
FAULTS = {
    "rules = 1": "error: line 1: rules is no key here; expected rule, vacation; did you mean rule?",
    "rule = 1": "error: line 1: rule is 1; expected a list of 0 to 10000, each of them a table",
    "[[rule]]\nthen = 'stop'": 'error: line 1, rule "#1": the rule has no name; expected a name',
    '[[rule]]\nname = ""\nthen = "stop"': 'error: line 2, rule "#1": name is ""; expected a name',
    '[[rule]]\nname = "One"': 'error: line 1, rule "One": the rule has no then; expected an action',
    '[[rule]]\nname = "One"\nenabled = 1\nthen = "stop"': f"{ONE}enabled is 1; expected true or",
    _if("form.is = 'a'"): f"{ONE}if.form is no key here; expected a condition: all, any,",
    _if("from = 'a'"): f'{ONE}if.from is "a"; expected an operator: is, contains,',
    _if("from.is = []"): f"{ONE}if.from.is is a list of 0; expected a list of 1 to 1000, each",
    _if("from.is = ['a', 3]"): f"{ONE}if.from.is[2] is 3; expected a text, which may be empty",
    _if("from = {is = 'a', contains = 'b'}"): f"{ONE}if.from is a table with",
    _if("subject.in-domain = 'a.b'"): f"{ONE}if.subject.in-domain is no key here; expected an op",
    _if("subject.contains = ''"): f'{ONE}if.subject.contains is ""; expected a text',
    _if("subject.exists = false"): f"{ONE}if.subject.exists is false; expected true (for the con",
    _if("header.is = 'a'"): f"{ONE}if.header has no name; expected the name of a header field",
    _if("header = {name = 'a:', is = 'a'}"): f'{ONE}if.header.name is "a:"; expected the name',
    _if("body.exists = true"): f"{ONE}if.body.exists is no key here; expected an operator: is",
    _if("size.over = '1 TB'"): f'{ONE}if.size.over is "1 TB"; expected a number of octets, or',
    _if("size.over = -1"): f"{ONE}if.size.over is -1; expected a number of octets, or",
    _if("size.over = 2147483648"): f"{ONE}if.size.over is 2147483648; expected",
    _if("time = {since = 08:00:00}"): f"{ONE}if.time has no until; expected a time",
    _if("weekday = 'Mondai'"): f'{ONE}if.weekday is "Mondai"; expected one of sunday, monday,',
    _if("verdict = 'spam'"): f'{ONE}if.verdict is "spam"; expected one of tag, junk',
    _if("score.over = 100"): f"{ONE}if.score.over is 100; expected a number from 0 to 99",
    _if("score.over = true"): f"{ONE}if.score.over is true; expected a number from 0 to 99",
    _if("finding = {check = 'a b', band = 'x'}"): f'{ONE}if.finding.check is "a b"; expected',
    _if("finding.check = 'spf'"): f"{ONE}if.finding has no band; expected what the check may",
    _if("virus = 'a;b'"): f'{ONE}if.virus is "a;b"; expected what the check may find',
    _if("known = 'book'"): f'{ONE}if.known is "book"; expected one of address-book, allow-list',
    _if("any = []"): f"{ONE}if.any is a list of 0; expected a list of 1 to 1000, each of them a",
    _if("any = [\n {none = [\n  {weekday = 1}]}]"): 'error: line 5, rule "One": if.any[1].none',
    _then('"stup"'): f'{ONE}then is "stup"; expected an action: delete, discard,',
    _then("[]"): f"{ONE}then is a list of 0; expected a list of 1 to 1000, each of them an act",
    _then("{ stop = true }"): f"{ONE}then.stop is no key here; expected an action:",
    _then("{ reject = '' }"): f'{ONE}then.reject is ""; expected a text',
    _then("{ reply = { text = 'a', days = 0 } }"): f"{ONE}then.reply.days is 0; expected a numb",
    "[vacation]\nsince = 2026-12-01": "error: line 1: vacation has no text; expected a text",
}
DEEPER = {
    _if("from.in-domain = '-'"): f'{ONE}if.from.in-domain is "-"; expected a domain, such as',
    _if("subject.is = 'a\\nb'".replace("'", '"')): f"{ONE}if.subject.is is",
    _if("subject.matches = 'a\\'"): f"{ONE}if.subject.matches is",
    _if("subject.regex = '\\d'"): f"{ONE}if.subject.regex is",
    _if("subject.regex = 'a{'"): f"{ONE}if.subject.regex is",
    _if("date = {}"): f"{ONE}if.date names no day; expected since, until or both",
    _if("date.since = '2026-13-01'"): f'{ONE}if.date.since is "2026-13-01"; expected',
    _if("date.since = 2026-12-01T00:00:00"): f'{ONE}if.date.since is "2026-12-01 00:00:00"; exp',
    _if("date = {since = 2026-12-02, until = 2026-12-01}"): f"{ONE}if.date ends before it begins",
    _if("time = {since = 08:00:00, until = '08:00'}"): f"{ONE}if.time ends when it begins; exp",
    _if("time = {since = 08:00:00.5, until = '09:00'}"): f'{ONE}if.time.since is "08:00:00.50',
    _then("{ move = 'a//b' }"): f'{ONE}then.move is "a//b"; expected a folder, such as',
    _then("{ move = '../b' }"): f'{ONE}then.move is "../b"; expected a folder, such as',
    _then('{ move = "a\\u0000" }'): f"{ONE}then.move is",
    _then("{ forward = 'ann' }"): f'{ONE}then.forward is "ann"; expected an address, such as',
    _then("{ forward = 'jürgen@a.b' }"): f"{ONE}then.forward is",
    _then("{ flag = '\\Recent' }"): f'{ONE}then.flag is "\\\\Recent"; expected one of \\Answered,',
    _then("{ flag = 'two words' }"): f'{ONE}then.flag is "two words"; expected one of \\Answered',
    _then("['discard', 'mark-read']"): 'error: line 1, rule "One": the rule does something after',
    _then("[{copy = 'a'}, {reject = 'b'}]"): 'error: line 1, rule "One": the rule refuses what',
    "[vacation]\ntext = 'a'\naddresses = ['b']": "error: line 3: vacation.addresses[1] is",
}
"""What a schema cannot tell from what is right."""


@pytest.mark.parametrize(("text", "expected"), {**FAULTS, **DEEPER}.items())
def test_an_error_says_where_and_what_is_expected(text: str, expected: str) -> None:
    with pytest.raises(MailsortError) as error:
        read_toml(text.encode())
    assert str(error.value).startswith(expected)
    assert "expected " in str(error.value)


def test_all_errors_are_told_at_once() -> None:
    text = _if("weekday = 'x'") + _then("'y'") + "[vacation]\ntext = 3\nif = 1\n"
    with pytest.raises(MailsortError) as error:
        read_toml(text.encode())
    found = [(one.line, one.rule, one.message.split()[0]) for one in error.value.remarks]
    assert found == [
        (3, "One", "if.weekday"),
        (7, "One", "then"),
        (10, "", "vacation.if"),
        (9, "", "vacation.text"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xff", "error: line 1: is not UTF-8; expected text in UTF-8"),
        (b"a = 1\n\n b", "error: line 3: Expected '=' after a key"),
        (b"a = 1\na = 2\n", "error: line 2: Cannot overwrite a value; expected TOML"),
        (b"a." * 40 + b"b = 1", "error: line 1: a key has more than 32 parts"),
        (b"a = \n[" + b"[" * 200, "error: line 2: more than 128 brackets"),
        (b"x" * (MOST_OCTETS + 1), "error: 2097153 octets of text; expected at most 2097152"),
        (b"rule = " + b"9" * 5000, "error: Exceeds the limit"),
    ],
)
def test_what_is_no_toml(text: bytes, expected: str) -> None:
    with pytest.raises(MailsortError) as error:
        read_toml(text)
    assert str(error.value).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{\n", "error: line 2: Expecting property name"),
        (b'{"rule": [], "rule": []}', 'error: the key "rule" stands twice in an object'),
        (b"[" * 100_000, "error: is nested too deeply"),
        (b'{"rule": [{"name": "\\ud800", "then": "stop"}]}', 'error: rule "#1": name is "\\ud800'),
        (b'{"rule": NaN}', "error: rule is NaN; expected a list"),
        (b"[]", "error: the text is a list of 0; expected a table"),
        (b'{"rule": %s}' % (b"9" * 5000), "error: Exceeds the limit"),
        (b'{"rule": 1%s}' % (b"0" * 100), "error: rule is a number of many digits"),
    ],
)
def test_what_is_no_json(text: bytes, expected: str) -> None:
    with pytest.raises(MailsortError) as error:
        read_json(text)
    assert str(error.value).startswith(expected)


def _nested(levels: int) -> bytes:
    inner: object = {"weekday": "monday"}
    for _ in range(levels):
        inner = {"none": [inner]}
    return json.dumps({"rule": [{"name": "a", "if": inner, "then": "stop"}]}).encode()


def test_bounds() -> None:
    assert read_json(_nested(30)).rules
    with pytest.raises(MailsortError, match="nested too deeply; expected at most 30 levels"):
        read_json(_nested(31))
    assert len(read_toml((_then('"stop"') * 10_000).encode()).rules) == 10_000
    with pytest.raises(MailsortError, match="rule is a list of 10001"):
        read_json(json.dumps({"rule": [{"name": "a", "then": "stop"}] * 10_001}).encode())
    text = "[vacation]\ntext = '''" + "x" * (1 << 20) + "%s'''"
    assert read_toml((text % "").encode()).vacation
    with pytest.raises(MailsortError, match="at most 1048576 characters, and there are 1048577"):
        read_toml((text % "x").encode())
    with pytest.raises(MailsortError, match="there may be more faults than these"):
        read_toml((_then('"no"') * 10_000).encode())
    with pytest.raises(Faults) as error:
        MAILSORT.read({"rule": [{"name": 1}] * 10_000}, ())
    assert len(error.value.faults) <= MOST_FAULTS + 1


def test_one_value_needs_no_list_and_times_may_be_texts() -> None:
    text = _if("time = {since = '22:00', until = 06:00:00}").replace("then", "enabled = true\nthen")
    (rule,) = read_toml(f"\ufeff{text}".replace("\n", "\r\n").encode()).rules
    assert isinstance(rule.condition, TimeTest)
    assert (rule.condition.since.hour, rule.condition.until.hour) == (22, 6)
    assert rule.actions == (Stop(),)


def test_what_has_one_meaning_has_one_form() -> None:
    (rule,) = read_toml(_then('[{move = "inbox"}, {flag = "\\\\seen"}]').encode()).rules
    assert rule.actions[0] == Move("INBOX")
    (rule,) = read_toml(_if('from.in-domain = "Bücher.Example"').encode()).rules
    assert isinstance(rule.condition, AddressTest)
    assert rule.condition.values == ("xn--bcher-kva.example",)
    (rule,) = read_toml(_if("subject.is = ''").encode()).rules
    assert isinstance(rule.condition, HeaderTest)
    assert read_json(b"{}") == read_toml(b"") == Mailsort()
    assert (
        Rule("a", None, (Stop(),))
        == read_json(b'{"rule": [{"name": "a", "then": "stop"}]}').rules[0]
    )
