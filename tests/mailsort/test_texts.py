"""What is written is read back to the same rules, and the JSON Schema takes it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings

from sieve.mailsort.read import MailsortError, check, read_json, read_toml
from sieve.mailsort.rule import (
    AddressTest,
    BodyTest,
    Copy,
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
    Reply,
    Rule,
    SizeTest,
    Stop,
    Vacation,
)
from sieve.mailsort.schema import schema
from sieve.mailsort.write import to_json, to_toml
from tests.conftest import ROOT
from tests.mailsort.strategies import mailsorts
from tests.mailsort.test_read import FAULTS

NOW = datetime.datetime(2026, 11, 27, 12)  # noqa: DTZ001 - the server's own time zone

PLEASANT = '''\
[[rule]]
name = "Invoices"
if.any = [
  { from.in-domain = "shop.example" },
  { subject.contains = ["invoice", "bill"] },
  { none = [ { header = { name = "X-Kind", is = "private" } } ] },
]
then = [ { copy = "Invoices" }, { flag = "\\\\Flagged" }, "mark-read", "stop" ]

[[rule]]
name = "Large \\"ones\\""
enabled = false
if.size.over = "20 MB"
then = [ { forward = { to = "ann@shop.example", keep = true } }, { notify = "bob@example.org" } ]

[[rule]]
name = "Answer"
then = [
  { reply = """
Two lines,
a \\\\ and ""\\"three\\"""" },
]

[vacation]
since = 2026-12-01
until = 2026-12-10
text = "Away."
'''
RULES = Mailsort(
    (
        Rule(
            "Invoices",
            Group(
                Quantity.ANY,
                (
                    AddressTest(Party.FROM, Operator.IN_DOMAIN, ("shop.example",)),
                    HeaderTest("Subject", Operator.CONTAINS, ("invoice", "bill")),
                    Group(Quantity.NONE, (HeaderTest("X-Kind", Operator.IS, ("private",)),)),
                ),
            ),
            (Copy("Invoices"), Flag(("\\Flagged",)), MarkRead(), Stop()),
        ),
        Rule(
            'Large "ones"',
            SizeTest(True, 20 << 20),
            (Forward(("ann@shop.example",), True), Notify("bob@example.org")),
            False,
        ),
        Rule("Answer", None, (Reply('Two lines,\na \\ and """three"'),)),
    ),
    Vacation("Away.", since=datetime.date(2026, 12, 1), until=datetime.date(2026, 12, 10)),
)


def test_toml_is_pleasant_to_read() -> None:
    assert to_toml(RULES) == PLEASANT
    assert read_toml(PLEASANT.encode()) == RULES


@given(mailsorts(NOW))
def test_what_is_written_is_read_back(mailsort: Mailsort) -> None:
    assert read_toml(to_toml(mailsort).encode()) == mailsort
    assert read_json(to_json(mailsort).encode()) == mailsort
    check(mailsort)


def test_json_is_the_same_with_texts_for_dates() -> None:
    found = json.loads(to_json(RULES))
    assert found["vacation"] == {"since": "2026-12-01", "until": "2026-12-10", "text": "Away."}
    assert found["rule"][1]["if"] == {"size": {"over": "20 MB"}}


@pytest.mark.parametrize(
    "one",
    [
        Rule("a\nb", None, (Stop(),)),
        Rule("a", BodyTest(Operator.EXISTS, ()), (Stop(),)),
        Rule("a", None, (Move("a\0"),)),
        Rule("a", None, ()),
    ],
)
def test_rules_made_otherwise_are_checked(one: Rule) -> None:
    with pytest.raises(MailsortError):
        check(Mailsort((one,)))


def test_the_schema_is_the_reader_s() -> None:
    published = (ROOT / "docs/schema/mailsort.schema.json").read_text()
    assert json.loads(published) == schema(), "make docs"


def _accepted(texts: list[str]) -> list[bool]:
    """By Debian's own validator, which is no part of the suite."""
    program = (
        "import json, jsonschema, sys\n"
        "schema, values = json.load(sys.stdin)\n"
        "kind = jsonschema.Draft202012Validator\n"
        "kind.check_schema(schema)\n"
        "print(json.dumps([kind(schema).is_valid(one) for one in values]))\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program],
        input=json.dumps([schema(), [json.loads(text) for text in texts]]),
        capture_output=True,
        text=True,
        check=True,
    )
    accepted: list[bool] = json.loads(done.stdout)
    return accepted


def test_the_schema_takes_what_the_reader_takes_and_nothing_else_of_its_kind() -> None:
    drawn: list[Mailsort] = [RULES, Mailsort(), dataclasses.replace(RULES, rules=())]

    @settings(max_examples=40)
    @given(mailsorts(NOW))
    def draw(mailsort: Mailsort) -> None:
        drawn.append(mailsort)

    draw()
    assert all(_accepted([to_json(one) for one in drawn]))
    assert not any(_accepted([_as_json(one) for one in FAULTS]))


def _as_json(toml: str) -> str:
    def iso(value: Any) -> str:  # noqa: ANN401 - a date or a time
        return str(value.isoformat())

    return json.dumps(tomllib.loads(toml), default=iso)
