"""docs/mailsort.md names every key of the language, and its examples are read as they stand."""

from __future__ import annotations

import re

import pytest

from sieve.mailsort.conditions import CONDITIONS
from sieve.mailsort.language import ACTIONS, RULE_FIELDS, VACATION_FIELDS, WORDS
from sieve.mailsort.read import MOST_OCTETS, MailsortError, read_toml
from sieve.mailsort.rule import Operator
from sieve.mailsort.values import MOST_TEXT
from tests.conftest import ROOT

PAGE = (ROOT / "docs/mailsort.md").read_text()
_ROW = re.compile(r"^\| `([^`]+)` \|.*\|$", re.MULTILINE)
_EXAMPLE = re.compile(r"^\| `([^`]+)` \|.*\| `([^|]+)` \|$", re.MULTILINE)


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("A rule", set(RULE_FIELDS)),
        ("Conditions", set(CONDITIONS)),
        ("Operators", {one.value for one in Operator}),
        ("Actions", {*ACTIONS, *WORDS}),
        ("Vacation", set(VACATION_FIELDS)),
    ],
)
def test_every_key_has_a_row(title: str, keys: set[str]) -> None:
    rows = _ROW.findall(_section(title))
    assert len(rows) == len(set(rows))
    assert set(rows) == keys


@pytest.mark.parametrize(("key", "example"), _EXAMPLE.findall(_section("Conditions")))
def test_examples_of_conditions(key: str, example: str) -> None:
    assert re.match(rf"{key}\b", example)
    assert read_toml(f'[[rule]]\nname = "a"\nif.{example}\nthen = "stop"'.encode()).rules


@pytest.mark.parametrize(("key", "example"), _EXAMPLE.findall(_section("Actions")))
def test_examples_of_actions(key: str, example: str) -> None:
    assert key in example
    assert read_toml(f'[[rule]]\nname = "a"\nthen = {example}'.encode()).rules


def test_every_row_has_an_example() -> None:
    for title in ("Conditions", "Actions"):
        assert len(_EXAMPLE.findall(_section(title))) == len(_ROW.findall(_section(title)))


@pytest.mark.parametrize("block", re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S))
def test_whole_examples_are_read(block: str) -> None:
    assert read_toml(block.encode()).rules


def test_the_errors_shown_are_those_told() -> None:
    first = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)[0]
    wrong = first.replace('"shop.example"', '"-"').replace('"mark-read"', '"stup"', 1)
    with pytest.raises(MailsortError) as error:
        read_toml(wrong.encode())
    shown = re.findall(r"^    (error: .*)$", _section("Errors"), re.M)
    assert [str(one) for one in error.value.remarks] == shown


def test_bounds_are_told() -> None:
    assert f"{MOST_TEXT:,}" in PAGE
    assert f"{MOST_OCTETS >> 20} MiB" in PAGE
