"""Regular expressions that are taken are such as the C library compiles, for Pigeonhole uses it."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sieve.mailsort.expression import expression

_EXTENDED, _ICASE = 1, 2
_ROOM = 256
"""Octets; `regex_t` has 64 with glibc."""
_C = ctypes.CDLL(None)


def _compiles(source: str) -> bool:
    room = ctypes.create_string_buffer(_ROOM)
    failed = _C.regcomp(room, source.encode(), _EXTENDED | _ICASE)
    if not failed:
        _C.regfree(room)
    return not failed


@pytest.mark.parametrize(
    "source",
    [
        *("^a.*b$", "a|b", "(a|b)+", "a{2}", "a{2,}", "a{2,3}", "[a-z0-9]", "[^]a]", "[[:alpha:]]"),
        *(r"\.", r"\$\{", "}", "]", "é", "(é)?", "a$b", "()", "a||b", '"', "[*?]"),
    ],
)
def test_taken(source: str) -> None:
    assert expression(source) == source
    assert _compiles(source)


@pytest.mark.parametrize(
    "source",
    [
        *(r"\d", r"\bx", r"\<x", r"\n", r"(a)\1", "(?i)a", "(?=a)", "*a", "^*", "(*a)", "a|*b"),
        *("a{", "a{,3}", "a{2,1}", "a{1001}", "(((a{99}){99}){99})", "(", ")", "[", "[z-a]"),
        *(r"[\]]", "[[.a.]]", "[é]", "é?", "a\\", "x" * 1001),
    ],
)
def test_refused(source: str) -> None:
    with pytest.raises(ValueError, match="POSIX extended regular expression"):
        expression(source)


_PIECES = st.sampled_from([*"ab.*+?|()[]{}^$\\-,23:é", "[a-z]", "[[:digit:]]", "{2}", "(a|b)"])


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_what_is_taken_compiles(source: str) -> None:
    try:
        expression(source)
    except ValueError:
        return
    assert _compiles(source)
