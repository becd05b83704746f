"""Text as words to learn by, each of which a user can read.

Words are in lower case. What is longer than any word of a language is its first letter and its
length, digits are their shape, and writing without blanks between words (Chinese, Japanese, Thai)
is overlapping pairs of characters. No text raises, and the work is linear in its length.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

_LONG = 20
"""Characters: longer ones are numbers of things, keys and data, seen once."""

_WORD = re.compile(r"[\w$£€¥]++(?:['’.,@&+/-][\w$£€¥]++)*[!%]?")
_WIDE = re.compile(
    "[\u0e00-\u0eff\u1100-\u11ff\u2800-\u28ff\u2e80-\u2fff\u3005-\u3007\u3040-\u318f\u3400-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]+"
)
_INVISIBLE = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
_FULL = re.compile("[\uff01-\uff5e]")
_FULL_TO_ASCII = {letter: letter - 0xFEE0 for letter in range(0xFF01, 0xFF5F)}
_DIGITS = re.compile(r"\d{2,}")


def plain(text: str) -> str:
    """The text in lower case without what nobody sees, wide letters of ASCII as such."""
    if text.isascii():
        return text.lower()
    text = _INVISIBLE.sub("", text)
    if _FULL.search(text):
        text = text.translate(_FULL_TO_ASCII)
    return text.lower()


def words(text: str) -> list[str]:
    """The different words, in the order in which they stand; pairs of characters behind them.

    Some that are different may read the same.
    """
    text = plain(text)
    if text.isascii():
        return _read(dict.fromkeys(_WORD.findall(text)))
    pairs = dict.fromkeys(pair for run in _WIDE.findall(text) for pair in _pairs(run))
    return [*_read(dict.fromkeys(_WORD.findall(_WIDE.sub(" ", text)))), *pairs]


def sequence(text: str) -> list[str]:
    """All words in their order, those that come again included."""
    text = plain(text)
    if text.isascii():
        return _read(_WORD.findall(text))
    pairs = [pair for run in _WIDE.findall(text) for pair in _pairs(run)]
    return [*_read(_WORD.findall(_WIDE.sub(" ", text))), *pairs]


def _pairs(run: str) -> Iterable[str]:
    return map("".join, itertools.pairwise(run)) if len(run) > 1 else (run,)


def _read(found: Iterable[str]) -> list[str]:
    return [one if one.isalpha() and len(one) <= _LONG else shaped(one) for one in found]


def shaped(word: str) -> str:
    """A number of more than one digit as so many `#`, up to nine; what is long by its length."""
    length = len(word)
    if length > _LONG:
        return f"{word[0]}~{length // 10 * 10 if length < 100 else 100}"
    return word if word.isalpha() else _DIGITS.sub(_shape, word)


def _shape(found: re.Match[str]) -> str:
    return "#" * min(len(found[0]), 9)
