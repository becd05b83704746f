"""Macro strings of SPF (RFC 7208 section 7): read once, expanded as often as wanted.

Pure. What is no macro string raises `MacroError`; expanding raises nothing. A value that is not
ASCII makes the whole expansion None: such a name is in no zone (RFC 8616 section 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

_TOKEN = re.compile(
    r"%\{([A-Za-z])([0-9]*)([rR]?)([-.+,/_=]*)\}|(%[%_-])|([\x21-\x24\x26-\x7e]+)|( +)"
)
_ESCAPES = {"%%": "%", "%_": " ", "%-": "%20"}
_IN_NAMES = frozenset("slodiphv")
_IN_TEXTS = _IN_NAMES | frozenset("crt")
_TOPLABEL = re.compile(r"[0-9A-Za-z]+(?:-+[0-9A-Za-z]+)*")
_NAME = 253

Value: TypeAlias = Callable[[str], str]
"""From a letter to what it stands for."""


class MacroError(ValueError):
    """The text is no macro string."""


@dataclass(frozen=True, slots=True)
class Macro:
    """`parts` from the right are kept, 0 for all of them."""

    letter: str
    parts: int
    reverse: bool
    delimiters: str
    escaped: bool


@dataclass(frozen=True, slots=True)
class Macros:
    """Plain text and macros in their order."""

    pieces: tuple[str | Macro, ...]

    def letters(self) -> frozenset[str]:
        """The macros in it."""
        return frozenset(piece.letter for piece in self.pieces if isinstance(piece, Macro))

    def expand(self, value: Value) -> str | None:
        """The text, or None where it is not ASCII."""
        found: list[str] = []
        for piece in self.pieces:
            if isinstance(piece, Macro):
                text = value(piece.letter)
                if not text.isascii():
                    return None
                found.append(_expand(piece, text))
            else:
                found.append(piece)
        return "".join(found)

    def name(self, value: Value) -> str | None:
        """The text as a domain name: labels on the left are dropped until it fits."""
        text = self.expand(value)
        if text is None:
            return None
        text = text.removesuffix(".")
        if len(text) <= _NAME:
            return text
        dot = text.find(".", len(text) - _NAME - 1)
        return text[dot + 1 :]


def macro_string(text: str) -> Macros:
    """`macro-string` of the grammar."""
    return _macros(_tokens(text, blanks=False), _IN_TEXTS)


def explain_string(text: str) -> Macros:
    """`explain-string`: blanks may stand in it."""
    return _macros(_tokens(text, blanks=True), _IN_TEXTS)


def domain_spec(text: str) -> Macros:
    """`domain-spec`: it ends with a macro, or with a dot and a label that can be the last one."""
    tokens = _tokens(text, blanks=False)
    plain = tokens[-1][6] if tokens else ""
    if plain is not None:
        _rest, dot, label = plain.removesuffix(".").rpartition(".")
        if not dot or label.isdecimal() or not _TOPLABEL.fullmatch(label):
            raise MacroError("no domain name at its end")
    return _macros(tokens, _IN_NAMES)


def _tokens(text: str, *, blanks: bool) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    end = 0
    while end < len(text):
        token = _TOKEN.match(text, end)
        if token is None or (token[7] and not blanks):
            raise MacroError(f"no macro and no plain text at character {end + 1}")
        found.append(token)
        end = token.end()
    return found


def _macros(tokens: list[re.Match[str]], letters: frozenset[str]) -> Macros:
    return Macros(
        tuple(
            _macro(token, letters) if token[1] else _ESCAPES.get(token[0], token[0])
            for token in tokens
        )
    )


def _macro(token: re.Match[str], letters: frozenset[str]) -> Macro:
    letter = token[1].lower()
    if letter not in letters:
        raise MacroError(f"no macro letter here: {token[1]}")
    digits = token[2].lstrip("0")
    if token[2] and not digits:
        raise MacroError("a macro of no parts")
    # More parts than four digits can say are all there are.
    return Macro(letter, int(digits[:4] or 0), bool(token[3]), token[4] or ".", token[1].isupper())


def _expand(macro: Macro, value: str) -> str:
    first, others = macro.delimiters[0], macro.delimiters[1:]
    for delimiter in others:
        value = value.replace(delimiter, first)
    parts = value.split(first)
    if macro.reverse:
        parts.reverse()
    text = ".".join(parts[-macro.parts :] if macro.parts else parts)
    return quote(text, safe="~") if macro.escaped else text
