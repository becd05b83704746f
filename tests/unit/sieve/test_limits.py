"""What is too much for one message: rules for different envelope senders never meet."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sieve.compiling.compiler import compile_rules
from sieve.compiling.limits import Act, Meeting, beyond
from sieve.compiling.site import Site
from sieve.mailsort.rule import (
    AddressTest,
    Group,
    HeaderTest,
    Mailsort,
    Move,
    Operator,
    Party,
    Quantity,
    Rule,
    SizeTest,
    Test,
)
from sieve.script.profile import PIGEONHOLE

SENDERS = ("", "a@x.example", "b@x.example", "a@y.x.example", "c@y.x.example", "c@z.example")
NAMED = ("", "a@x.example", "b@x.example", "a@y.x.example", "@x.example", "@y.x.example")
ACTIONS, REDIRECTS = 3, 1

acts = st.frozensets(
    st.tuples(st.sampled_from(("fileinto", "redirect")), st.sampled_from("abcd")), max_size=3
)
meetings = st.builds(
    Meeting,
    st.integers(0, 10**9).map(str),
    st.none() | st.frozensets(st.sampled_from(NAMED), min_size=1, max_size=2),
    acts,
    st.booleans(),
)


def meets(sender: str, rule: Meeting) -> bool:
    """What an envelope sender says, in words of its own."""
    domain = sender.rpartition("@")[2]
    return rule.senders is None or any(
        sender == one or (one.startswith("@") and f".{domain}".endswith(f".{one[1:]}"))
        for one in rule.senders
    )


def first_beyond(sender: str, rules: list[Meeting], kind: str, limit: int) -> int | None:
    """The place of the rule with which a message of this sender has too much."""
    done: set[Act] = set()
    for place, rule in enumerate(rules):
        if meets(sender, rule):
            both = done | rule.acts
            if sum(kind in ("", act) for act, _where in both) > limit:
                return place
            done = done if rule.last else both
    return None


@given(st.lists(meetings, max_size=7))
def test_what_is_told_is_what_a_sender_can_meet(rules: list[Meeting]) -> None:
    """Neither more nor less, and with the first rule of it."""
    remarks = beyond(rules, ACTIONS, REDIRECTS)
    told = {re.sub(r".* meet \d+ |: .*", "", one.message): one.rule for one in remarks}
    for word, kind, limit in (
        ("actions", "", ACTIONS),
        ("addresses that it is sent on to", "redirect", REDIRECTS),
    ):
        places = [first_beyond(one, rules, kind, limit) for one in SENDERS]
        first = min((one for one in places if one is not None), default=None)
        assert told.get(word) == (None if first is None else rules[first].name)


@pytest.mark.parametrize(
    ("condition", "errors"),
    [
        (lambda one: AddressTest(Party.ENVELOPE_FROM, Operator.IS, (f"{one}@x.example",)), 0),
        (lambda one: AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, (f"{one}.example",)), 0),
        (lambda one: AddressTest(Party.FROM, Operator.IS, (f"{one}@x.example",)), 1),
        (lambda one: HeaderTest("List-Id", Operator.IS, (f"<{one}.x.example>",)), 1),
    ],
    ids=["envelope", "domain", "from", "list"],
)
def test_forty_rules_that_file(condition: Callable[[int], Test], errors: int) -> None:
    """A message may have many authors and several List-Id, but has one envelope sender."""
    big = SizeTest(True, 1)
    rules = (
        Rule(f"{one}", Group(Quantity.ALL, (big, condition(one))), (Move(f"{one}"),))
        for one in range(40)
    )
    assert len(compile_rules(Mailsort(tuple(rules)), PIGEONHOLE, Site()).remarks) == errors


def test_where_rules_are_very_many_all_are_taken_to_meet() -> None:
    """Each of ten thousand would have to be looked at for each of as many senders."""
    rules = [
        Meeting(
            f"{one}", frozenset({f"a@{one}.example"}), frozenset({("fileinto", f"{one}")}), False
        )
        for one in range(10_000)
    ]
    assert [one.rule for one in beyond(rules, 32, 4)] == ["32"]
