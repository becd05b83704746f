"""The interpreter says of plain rules what a reader of the model would say."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given

from sieve.mailsort.rule import (
    Action,
    AddressTest,
    BodyTest,
    Condition,
    Copy,
    Delete,
    Discard,
    Flag,
    Forward,
    Group,
    HeaderTest,
    Mailsort,
    MarkRead,
    Move,
    Notify,
    Operator,
    Party,
    Quantity,
    Reject,
    Reply,
    Rule,
    Stop,
    TimeTest,
    Vacation,
    Weekday,
    WeekdayTest,
)
from tests.mailsort.meaning import INBOX, Facts, Outcome, fits, holds, outcome
from tests.mailsort.message import Message, decoded
from tests.mailsort.strategies import deliveries, mailsorts

FRIDAY = datetime.datetime(2026, 11, 27, 23, 30)  # noqa: DTZ001 - the server's own time zone
FACTS = Facts("ann@shop.example", "bob@example.org", FRIDAY)
MAIL = (
    b"From: Ann (she) <ann@Shop.example>\r\n"
    b"To: friends: bob@example.org, c@example.net;\r\n"
    b"Subject: =?utf-8?q?caf=C3=A9?=\r\n =?utf-8?b?IGJpbGw=?=\r\n"
    b"X-Fold: a\r\n\tb\r\n"
    b"Content-Type: text/html; charset=latin-1\r\n"
    b"\r\n"
    b"<p>H\xe9 <b>you</b></p>\r\n"
)
NOTHING: frozenset[str] = frozenset()
READ = frozenset({"\\seen"})


def _run(*rules: tuple[Action, ...], facts: Facts = FACTS, away: bool = False) -> Outcome:
    numbered = tuple(Rule(str(at), None, actions) for at, actions in enumerate(rules))
    return outcome(Mailsort(numbered, Vacation("away") if away else None), MAIL, facts)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), Outcome({INBOX: NOTHING})),
        (((Copy("a"),), (Flag(("X",)),)), Outcome({"a": NOTHING, INBOX: frozenset({"x"})})),
        (((Move("a"), MarkRead()),), Outcome({"a": READ})),
        (((Copy("a"),), (MarkRead(), Move("a"))), Outcome({"a": NOTHING})),
        (((Delete(), Stop()), (Copy("a"),)), Outcome({"Trash": NOTHING})),
        (((Forward(("x@y", "x@y")),),), Outcome({}, ("x@y",))),
        (((Forward(("x@y",), keep=True),),), Outcome({INBOX: NOTHING}, ("x@y",))),
        (((Discard(),), (Copy("a"),)), Outcome({})),
        (((Reject("no"),), (Copy("a"),)), Outcome({}, rejected="no")),
        (((Copy("a"),), (Reject("no"),)), Outcome({"a": NOTHING})),
        (((Reply("hi"),), (Reject("no"),)), Outcome({}, reply=Reply("hi"))),
        (((Reply("hi"),), (Reply("ho"),)), Outcome({INBOX: NOTHING}, reply=Reply("hi"))),
        (
            ((Notify("x@y"),), (Notify("x@y", "z"),)),
            Outcome({INBOX: NOTHING}, (), None, {"x@y": ""}),
        ),
    ],
)
def test_actions(rules: tuple[tuple[Action, ...], ...], expected: Outcome) -> None:
    assert _run(*rules) == expected


def test_junk_is_not_forwarded_and_stays() -> None:
    junk = dataclasses.replace(FACTS, verdict="junk")
    assert _run((Forward(("x@y",)),), facts=junk) == Outcome({INBOX: NOTHING})
    assert _run(facts=junk, away=True).reply is None


def test_a_vacation_comes_first_and_not_to_whom_is_refused() -> None:
    assert _run((Reply("hi"),), away=True).reply == Vacation("away")
    assert _run((Stop(),), (Reject("no"),), away=True).reply is None


@pytest.mark.parametrize(
    ("sender", "fields"),
    [
        ("", "To: bob@example.org"),
        ("BOB@example.org", "To: bob@example.org"),
        ("list-request@example.net", "To: bob@example.org"),
        ("ann@shop.example", "To: carl@example.net"),
        ("ann@shop.example", "To: bob@example.org\nList-Id: x"),
        ("ann@shop.example", "To: bob@example.org\nPrecedence: Bulk"),
        ("ann@shop.example", "To: bob@example.org\nAuto-Submitted: auto-replied (x)"),
    ],
)
def test_who_is_answered(sender: str, fields: str) -> None:
    facts = dataclasses.replace(FACTS, sender=sender)
    rules = Mailsort((), Vacation("away", addresses=("bobby@example.org",)))
    assert outcome(rules, f"{fields}\n\n".encode(), facts).reply is None
    assert outcome(rules, b"Cc: Bobby@example.org\nAuto-Submitted: no\n\n", FACTS).reply


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (AddressTest(Party.FROM, Operator.IS, ("ANN@shop.example",)), True),
        (AddressTest(Party.FROM, Operator.CONTAINS, ("she",)), False),
        (AddressTest(Party.FROM, Operator.IN_DOMAIN, ("example",)), True),
        (AddressTest(Party.FROM, Operator.IN_DOMAIN, ("op.example",)), False),
        (AddressTest(Party.RECIPIENT, Operator.IS, ("c@example.net",)), True),
        (AddressTest(Party.CC, Operator.EXISTS), False),
        (AddressTest(Party.ENVELOPE_FROM, Operator.EXISTS), True),
        (HeaderTest("subject", Operator.IS, ("café bill",)), True),
        (HeaderTest("subject", Operator.MATCHES, ("caf?? *",)), True),
        (HeaderTest("X-Fold", Operator.IS, ("a b",)), True),
        (HeaderTest("X-None", Operator.EXISTS), False),
        (BodyTest(Operator.CONTAINS, ("hé you",)), True),
        (WeekdayTest((Weekday.FRIDAY,)), True),
        (TimeTest(datetime.time(22), datetime.time(6)), True),
        (TimeTest(datetime.time(6), datetime.time(23, 30)), False),
        (Group(Quantity.NONE, (WeekdayTest((Weekday.SUNDAY,)),)), True),
    ],
)
def test_conditions(condition: Condition, expected: bool) -> None:
    assert holds(condition, Message(MAIL), FACTS) is expected


def test_wildcards() -> None:
    assert fits(Operator.MATCHES, (r"a\*?[*",), ["A*b[cd"])
    assert not fits(Operator.MATCHES, (r"a\*",), ["ab"])


def test_encoded_words() -> None:
    assert decoded("a =?utf-8?q?b_c?= =?UTF-8?B?w6k=?= d") == "a b cé d"


@given(mailsorts(FRIDAY), deliveries(FRIDAY))
def test_every_message_has_an_outcome(mailsort: Mailsort, delivery: tuple[bytes, Facts]) -> None:
    found = outcome(mailsort, *delivery)
    assert found.rejected is None or not (found.files or found.forwards or found.reply)
