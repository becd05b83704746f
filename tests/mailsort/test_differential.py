"""Pigeonhole does with the compiled script what the interpreter says that the rules mean."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator

import pytest
from hypothesis import Phase, given, settings

from sieve.compiling.compiler import compile_rules
from sieve.compiling.site import AfterQueue, Site
from sieve.diagnostic import Severity
from sieve.mailsort.rule import Mailsort, Reply, Vacation
from sieve.script.printer import to_text
from sieve.script.profile import PIGEONHOLE
from tests.mailsort.meaning import Facts, Outcome, outcome
from tests.mailsort.pigeonhole import Done, Pigeonhole, pigeonhole, with_facts
from tests.mailsort.strategies import deliveries, mailsorts

NOW = datetime.datetime(2025, 3, 4, 10, 0, 30)  # noqa: DTZ001 - the server's own time zone
SITE = Site(reject_after_queue=AfterQueue.BOUNCE, rcpt=False, separator="/")


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
    """As Pigeonhole prints it: a reply by its handle, control characters of a text as `?`."""
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
        frozenset(meant.forwards),
        reply,
        frozenset(meant.notified),
        None if text is None else re.sub(r"[\x00-\x1f]", "?", text.replace("\n", "\r\n")),
    )


@settings(max_examples=150, phases=(Phase.explicit, Phase.generate))
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
