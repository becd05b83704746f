"""Pigeonhole does with the compiled script what the interpreter says that the rules mean.

An example is a process, so that none is made smaller; `make explore` tries ten times as many.
"""

from __future__ import annotations

import dataclasses
import datetime
import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from sieve.compiling.compiler import compile_rules
from sieve.compiling.condition import compiled as compiled_condition
from sieve.compiling.site import AfterQueue, Site
from sieve.diagnostic import Severity
from sieve.mailsort.rule import (
    Action,
    AddressTest,
    Condition,
    Copy,
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
    Vacation,
)
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE
from sieve.script.tree import Command, Script, Text, command
from tests.mailsort.meaning import Facts, Outcome, fits, holds, outcome
from tests.mailsort.message import Message
from tests.mailsort.pigeonhole import Done, Pigeonhole, RefusedError, pigeonhole, with_facts
from tests.mailsort.strategies import conditions, deliveries, mailsorts

NOW = datetime.datetime(2025, 3, 4, 10, 0, 30)  # noqa: DTZ001 - the server's own time zone
SITE = Site(reject_after_queue=AfterQueue.BOUNCE, rcpt=False, separator="/")

FACTS = Facts("ann@shop.example", "bob@example.org", NOW)
MAIL = b"From: ann@shop.example\r\nTo: bob@example.org\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Pigeonhole]:
    with pigeonhole() as one:
        yield one


RULES = mailsorts(NOW)
DELIVERIES = deliveries(NOW).filter(lambda one: one[1].sender != "")
"""`sieve-test` takes no null sender; tests/integration/test_mailsort.py sends such mail."""


def numbered(mailsort: Mailsort) -> Mailsort:
    """The same rules, which can be told apart by their names."""
    rules = (
        dataclasses.replace(rule, name=f"{rule.name} {place}")
        for place, rule in enumerate(mailsort.rules)
    )
    return dataclasses.replace(mailsort, rules=tuple(rules))


def expected(mailsort: Mailsort, meant: Outcome) -> Done:
    """As Pigeonhole prints it: a reply by its handle, control characters of a text as `?`.

    Of an address that is written in several ways the script has the one that is first in the
    rules, and the message need not have met that one.
    """
    reply = None
    if isinstance(meant.reply, Vacation):
        reply = f"vacation {meant.reply.since}" if meant.reply.since else "vacation"
    elif isinstance(meant.reply, Reply):
        answer = meant.reply
        reply = next(
            f"rule {rule.name}"
            for rule in mailsort.rules
            if any(action is answer for action in rule.actions)
        )
    text = meant.rejected
    return Done(
        dict(meant.files),
        frozenset(address.lower() for address in meant.forwards),
        reply,
        frozenset(meant.notified),
        None if text is None else re.sub(r"[\x00-\x1f]", "?", text.replace("\n", "\r\n")),
    )


@settings(phases=(Phase.generate,))
@given(mailsort=RULES.map(numbered), delivery=DELIVERIES)
def test_pigeonhole_does_what_the_rules_mean(
    server: Pigeonhole, mailsort: Mailsort, delivery: tuple[bytes, Facts]
) -> None:
    facts = delivery[1]
    message = with_facts(*delivery)
    compiled = compile_rules(mailsort, PIGEONHOLE, SITE)
    assert not [one for one in compiled.remarks if one.severity is Severity.ERROR]
    done = server.done(to_text(compiled.script), message, facts)
    assert done == expected(mailsort, outcome(mailsort, message, facts))


_ANN = AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("ann@shop.example",))
_MEETING = st.builds(
    lambda rules, last, away: Mailsort(
        tuple(
            # Replies are told apart as the objects that they are.
            Rule(str(place), condition, tuple(map(dataclasses.replace, actions)))
            for place, (condition, actions) in enumerate([*rules, last])
        ),
        away,
    ),
    st.lists(
        st.tuples(
            st.sampled_from((None, None, _ANN, Group(Quantity.NONE, (_ANN,)))),
            st.lists(
                st.sampled_from(
                    (
                        *(Move("A"), Copy("A"), Copy("A"), Copy("INBOX"), MarkRead()),
                        *(Flag(("x",)), Reply("hi"), Notify("n@x.example")),
                        *(Forward(("a@x.example",)), Forward(("A@x.example",), keep=True)),
                    )
                ),
                min_size=1,
                max_size=2,
            ).map(tuple),
        ),
        min_size=1,
        max_size=5,
    ),
    st.tuples(
        st.sampled_from((None, _ANN)),
        st.sampled_from(
            ((Reject("no"),), (Reply("hi"), Reject("no")), (Discard(),), (Stop(),), (MarkRead(),))
        ),
    ),
    st.none() | st.just(Vacation("away")),
)


@settings(phases=(Phase.explicit, Phase.generate))
@given(mailsort=_MEETING, verdict=st.sampled_from((None, None, "junk")))
@example(Mailsort((Rule("0", None, (Copy("A"),)), Rule("1", None, (Move("A"),)))), None)
def test_rules_that_meet_one_message_do_what_they_mean_together(
    server: Pigeonhole, mailsort: Mailsort, verdict: str | None
) -> None:
    """Few folders, addresses and conditions, so that most of what can meet does."""
    facts = dataclasses.replace(FACTS, verdict=verdict)
    message = with_facts(MAIL, facts)
    script = to_text(compile_rules(mailsort, PIGEONHOLE, SITE).script)
    meant = outcome(mailsort, message, facts)
    assert server.done(script, message, facts) == expected(mailsort, meant)


@settings(max_examples=settings().max_examples // 5, phases=(Phase.generate,))
@given(listed=st.lists(conditions(NOW), min_size=50, max_size=50), delivery=DELIVERIES)
def test_each_condition_holds_where_it_is_meant_to(
    server: Pigeonhole, listed: list[Condition], delivery: tuple[bytes, Facts]
) -> None:
    """Fifty a message, each with a flag of its own."""
    facts, message = delivery[1], with_facts(*delivery)
    commands = tuple(
        Command("if", (), compiled_condition(one, SITE), (command("addflag", Text(f"c{place}")),))
        for place, one in enumerate(listed)
    )
    flags = server.done(to_text(Script(commands)), message, facts).files["INBOX"]
    read = Message(message)
    for place, one in enumerate(listed):
        assert (f"c{place}" in flags) is holds(one, read, facts), one


_BY_SENDER = st.sampled_from(
    (
        AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("ann@shop.example", "carl@example.net")),
        AddressTest(Party.ENVELOPE_FROM, Operator.IS, ("ANN@Shop.example",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, ("mail.shop.example",)),
        AddressTest(Party.ENVELOPE_FROM, Operator.IN_DOMAIN, ("example", "example.net")),
        HeaderTest("Subject", Operator.EXISTS),
    )
)
_REFUSING = st.builds(
    lambda conditions, actions: Mailsort(
        tuple(
            Rule(str(place), condition, (action,))
            for place, (condition, action) in enumerate(zip(conditions, actions, strict=False))
        )
    ),
    st.lists(_BY_SENDER, min_size=3, max_size=5),
    st.lists(
        st.sampled_from((Reject("no"), Reject("never"), Move("F"), MarkRead(), Stop())),
        min_size=5,
        max_size=5,
    ),
)


@given(mailsort=_REFUSING, delivery=DELIVERIES)
def test_who_is_refused_at_rcpt_is_refused_by_the_rules_and_nothing_else_is_done(
    mailsort: Mailsort, delivery: tuple[bytes, Facts]
) -> None:
    facts, message = delivery[1], with_facts(*delivery)
    compiled = compile_rules(mailsort, PIGEONHOLE, Site())
    meant = outcome(mailsort, message, facts)
    refused = [one for one in compiled.blocked if fits(one.operator, one.values, [facts.sender])]
    if refused:
        assert meant == Outcome({}, rejected=refused[0].text)
    else:
        told = {one.rule for one in compiled.blocked}
        others = tuple(rule for rule in mailsort.rules if rule.name not in told)
        assert meant == outcome(Mailsort(others), message, facts)


@pytest.mark.parametrize(
    ("actions", "allowed"),
    [
        (tuple(Copy(f"F{place}") for place in range(32)), True),
        (tuple(Copy(f"F{place}") for place in range(33)), False),
        ((*(Copy(f"F{place}") for place in range(31)), Reply("hi")), True),
        ((*(Copy(f"F{place}") for place in range(32)), Reply("hi")), False),
        ((*(Copy(f"F{place}") for place in range(32)), Move("F1")), False),
        ((Forward(tuple(f"{place}@x.example" for place in range(4))),), True),
        ((Forward(tuple(f"{place}@x.example" for place in range(5))),), False),
    ],
)
def test_what_is_told_to_be_too_much_is_so_and_what_is_not_runs(
    server: Pigeonhole, actions: tuple[Action, ...], allowed: bool
) -> None:
    rules = tuple(Rule(str(place), None, (action,)) for place, action in enumerate(actions))
    compiled = compile_rules(Mailsort(rules), PIGEONHOLE, SITE)
    assert (not compiled.remarks) is allowed
    try:
        server.done(to_text(compiled.script), MAIL, FACTS)
    except RefusedError:
        assert not allowed
    else:
        assert allowed


def test_more_than_a_script_may_have_is_told_before_the_server_refuses_it(
    server: Pigeonhole,
) -> None:
    kinds = HeaderTest("X-Kind", Operator.IS, ("k" * 60,))
    rules = tuple(Rule(f"rule {place}", kinds, (Move("F"), Stop())) for place in range(10000))
    compiled = compile_rules(Mailsort(rules), PIGEONHOLE, SITE)
    assert [one.severity for one in compiled.remarks] == [Severity.ERROR]
    with pytest.raises(RefusedError, match="too large"):
        server.done(to_text(compiled.script), MAIL, FACTS)


def _sent(server: Pigeonhole, mailsort: Mailsort) -> EmailMessage:
    """The one message that goes out for the rules."""
    script = to_text(compile_rules(mailsort, PIGEONHOLE, SITE).script)
    said = server.run(script, MAIL, FACTS, "-e")
    text, _, _ = said.partition("\nRECIPIENT: ")
    message = email.message_from_bytes(text.lstrip().encode(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _lines(part: object) -> list[str]:
    assert isinstance(part, EmailMessage)
    return str(part.get_content()).rstrip("\r\n").splitlines()


TEXT = 'Grüße "${name}" \\\n.\n..\nFrom me'


def test_what_is_sent_reads_as_it_was_written(server: Pigeonhole) -> None:
    away = Vacation(TEXT, "Weg: ${subject}", "<p>Grüße</p>\n.\n")
    sent = _sent(server, Mailsort((), away))
    assert sent["Subject"] == "Weg: ${subject}"
    assert [_lines(part) for part in sent.iter_parts()] == [TEXT.split("\n"), ["<p>Grüße</p>", "."]]
    for text in (TEXT, f"{TEXT}\n", "word " * 300):
        reply = _sent(server, Mailsort((Rule("r", None, (Reply(text),)),)))
        assert _lines(reply) == text.splitlines()
    notice = _sent(server, Mailsort((Rule("n", None, (Notify("me@phone.example", TEXT),)),)))
    assert notice["To"] == "me@phone.example"
    assert _lines(notice) == TEXT.split("\n")
