"""Patterns: what RE2 refuses, and what it could take too long for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.codec.pattern import Pattern, PatternError
from iems.codec.rule import OCTETS
from tests.cost import costs_less

_SECONDS = 15.0
"""What took half a second, on a machine that may be busy."""


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        (r"\bcasino\b", "CASINO!", True),
        ("^casino$", "a casino", False),
        ("grün|МАМА", "мама", True),
        (".", "\ufffd", True),
        ("a.b", "a\ud800b", True),
        ("", "", True),
    ],
)
def test_patterns_search(source: str, text: str, found: bool) -> None:
    assert Pattern.compile(source, case=False).found(text) is found


def test_case_is_heeded_as_said() -> None:
    assert Pattern.compile("Casino", case=True).found("a Casino")
    assert not Pattern.compile("Casino", case=True).found("a casino")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("(?!x)", "invalid perl operator"),
        (r"(a)\1", "invalid escape sequence"),
        ("[", "missing ]"),
        ("a{1001}", "invalid repetition size"),
        ("(((a{100}){100}){100})", "invalid repetition size"),
        ("x" * 1001, "more than 1000 characters"),
        ("(?:.?){1000}", "more than 1000 instructions"),
        (r"(?:\pL?\pN?){50}", "pattern too large"),
    ],
)
def test_what_is_refused(source: str, why: str) -> None:
    with pytest.raises(PatternError, match=why):
        Pattern.compile(source, case=False)


@pytest.mark.parametrize(
    "source", ["(a|b)*a(a|b){900}c", "(?:a?){490}c", "(?:[ab]{0,30}){16}c", "(a*)*c", "(a|aa)+c"]
)
def test_the_worst_patterns_end(source: str) -> None:
    letters = random.Random(1)
    text = "".join(letters.choice("ab") for _ in range(OCTETS))
    pattern = Pattern.compile(source, case=False)
    with costs_less(_SECONDS):
        assert not pattern.found(text)


@given(st.text(max_size=50), st.text(max_size=50))
def test_no_pattern_and_no_text_raises(source: str, text: str) -> None:
    try:
        pattern = Pattern.compile(source, case=False)
    except PatternError:
        return
    pattern.found(text)
