"""Who is refused at RCPT, and what he is told: from rules over the directory to the milter."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iems.directory.policy import read_refused, told_value
from iems.model.address import Address
from iems.model.policy import Kind, Subject
from iems.model.senders import MAX_TOLD, Facts, entry_for
from sieve.compiling.rcpt import Blocked
from sieve.compiling.site import Site
from sieve.diagnostic import Severity
from sieve.installing.compiled import patterns, ready
from sieve.mailsort.rule import (
    AddressTest,
    Group,
    Mailsort,
    Operator,
    Party,
    Quantity,
    Reject,
    Rule,
)
from sieve.script.profile import PIGEONHOLE

DOMAINS = ("a.example", "x.a.example", "y.x.a.example")
LOCALS = ("joe", "Joe", 'j "e\\', "jöe")
ALICE = Subject(Kind.USER, "alice@example.test")

senders = st.builds(Address, st.sampled_from(LOCALS), st.sampled_from(DOMAINS))
texts = st.sampled_from(["I have left.", "100 % no", "Two\r\nlines", "No." * 99, "schön", ""])
tests = st.builds(
    Blocked,
    st.just(""),
    st.just(Operator.IS),
    st.lists(senders.map(str), min_size=1, max_size=2).map(tuple),
    texts,
) | st.builds(
    Blocked,
    st.just(""),
    st.just(Operator.IN_DOMAIN),
    st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=2).map(tuple),
    texts,
)


def holds(one: Blocked, sender: Address) -> bool:
    """What the rule says of this sender, in words of its own."""
    if one.operator is Operator.IS:
        return str(sender).casefold() in {value.casefold() for value in one.values}
    return any(f".{sender.domain}".endswith(f".{value}") for value in one.values)


def within(domain: str, text: str) -> Blocked:
    return Blocked("", Operator.IN_DOMAIN, (domain,), text)


@given(st.lists(tests, max_size=5), st.none() | senders)
@example(
    [within("a.example", "One."), Blocked("", Operator.IS, ("joe@a.example",), "Two.")],
    Address("joe", "a.example"),
)
@example(
    [within("a.example", "One."), within("x.a.example", "Two.")], Address("joe", "x.a.example")
)
@example(
    [within("a.example", "One."), within("y.x.a.example", "Two.")], Address("joe", "y.x.a.example")
)
def test_a_sender_is_told_the_text_of_the_first_rule_that_holds(
    blocked: list[Blocked], sender: Address | None
) -> None:
    """Nobody else is refused, and nobody who has no address."""
    refused = patterns(blocked, 1000)
    notes: list[str] = []
    listed = read_refused(
        [pattern.encode() for pattern in refused],
        [told_value(*one) for one in refused.items() if one[1]],
        ALICE,
        notes.append,
    )
    assert not notes
    entry = entry_for(listed, Facts(lambda domain: domain, envelope=sender))
    first = next((one for one in blocked if sender is not None and holds(one, sender)), None)
    assert (entry is None) == (first is None)
    assert (entry.told if entry else None) == (first.told if first else None)


@given(st.text())
def test_what_is_told_is_one_line_of_ascii(text: str) -> None:
    told = Blocked("", Operator.IS, ("a@b.example",), text).told
    assert told.isascii()
    assert not told or told.isprintable()
    assert len(told) <= MAX_TOLD
    assert len(" ".join(text.split())) > MAX_TOLD or told.split() in ([], text.split())


@pytest.mark.parametrize(
    ("text", "told", "doubt"),
    [
        ("I have left, write to bob@example.org.", "I have left, write to bob@example.org.", ""),
        ("  Two\r\nlines,\n\n100 %. ", "Two lines, 100 %.", ""),
        ("x" * MAX_TOLD, "x" * MAX_TOLD, ""),
        ("x" * (MAX_TOLD + 1), "x" * (MAX_TOLD - 3) + "...", "told 200 characters"),
        ("Ich möchte nicht.", "", "told the site's text"),
        ("Bell\x07", "", "told the site's text"),
        ("", "", ""),
    ],
    ids=["text", "lines", "longest", "longer", "letters", "control", "none"],
)
def test_what_is_not_told_of_a_text_is_said_once(text: str, told: str, doubt: str) -> None:
    condition = Group(
        Quantity.ANY,
        (
            AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("a@bad.example",)),
            AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("b@bad.example",)),
        ),
    )
    made = ready(Mailsort((Rule("left", condition, (Reject(text),)),)), PIGEONHOLE, Site(), 10)
    assert made.usable
    assert made.refused == {"a@bad.example": told, "b@bad.example": told}
    remarks = [(one.severity, one.rule) for one in made.remarks]
    assert remarks == ([(Severity.WARNING, "left")] if doubt else [])
    assert all(doubt in one.message for one in made.remarks)
