"""Structured values of MIME fields: a word and its parameters (RFC 2045 section 5.1, RFC 2231).

It reads what mail programs read and not what the grammar allows: comments anywhere, blanks around
the equals sign, quotes that never end, 8-bit bytes, sections of RFC 2231 out of order, parameters
without a semicolon between them. Where readers differ in what a parameter says, it has more than
one value. No bytes raise; what is behind `LIMIT` is not read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from iems.codec.encoded import codec
from iems.codec.header import unfold

LIMIT = 8000
"""Bytes of a value that are read: the longest file name of a file system takes 1,530 encoded."""

_WORD = re.compile(r"\s*+([^;\s/]*+)(?:\s*+(/)\s*+([^;\s]*+))?")
_PARAMETER = re.compile(
    r"""
    (?<![^\s=;"]) ([^\s=;"]++) \s*+ = \s*+                     # a name, from where it begins
    (?: "((?:[^"\\]|\\.)*+) (?: "([^\s=;"]*+) | \\?\Z )    # in quotes, and what follows at once
      | ([^\s;]*+ (?:\s++ (?! [^\s=;"]++ \s*+ =) [^\s;]++)*) # without; blanks, up to the next name
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_Section: TypeAlias = tuple[int, tuple[bool, str]]
"""Its number, whether it is in the extended form, and what it holds."""

_SECTION = re.compile(r"([^*]++)\*(?:(\d{1,4})(\*?)|)\Z")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Value:
    """`word` is in lower case; `pairs` are names in lower case and values, as they stand there.

    A value is without its quotes; one of RFC 2231 is decoded and in UTF-8.
    """

    word: str
    pairs: tuple[tuple[str, bytes], ...]

    def all(self, name: str) -> tuple[bytes, ...]:
        """All that readers may take for this parameter, what most of them take first."""
        return tuple(dict.fromkeys(value for key, value in self.pairs if key == name))


def parse_value(raw: bytes) -> Value:
    """The value of a field Content-Type, Content-Disposition or Content-Transfer-Encoding."""
    text = unfold(raw[:LIMIT]).decode("latin-1").replace("\t", " ")
    if "(" not in text:
        return _value(text)
    bare, kept = _value(_without_comments(text).strip()), _value(text)
    return Value(bare.word, bare.pairs + kept.pairs)


def _value(text: str) -> Value:
    word, end = _word(text)
    if "=" in word:  # some read what stands there as a parameter
        end = 0
    pairs: list[tuple[str, bytes]] = []
    sections: dict[str, list[_Section]] = {}
    for name, value in _parameters(text[end:]):
        section = _SECTION.match(name) if "*" in name else None
        if section is None:
            pairs.append((name, value.encode("latin-1")))
        else:
            base, number, star = section.group(1, 2, 3)
            extended = number is None or bool(star)
            sections.setdefault(base, []).append((int(number or 0), (extended, value)))
    joined = [(name, value) for name, found in sections.items() for value in _readings(found)]
    return Value(word, (*joined, *pairs))


def _word(text: str) -> tuple[str, int]:
    """What stands before the parameters, without the blanks around a slash; where it ends."""
    if (found := _WORD.match(text)) is None:
        return "", 0
    return "".join(found.groups("")).lower(), found.end()


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    """Names in lower case and values, more than one for a name where that can be read otherwise."""
    for found in _PARAMETER.finditer(text):
        name, quoted, rest, token = found.group(1, 2, 3, 4)
        if quoted is None:
            readings = [token, token.partition(" ")[0]] if " " in token else [token]
        elif rest == "" and "\\" not in quoted:
            readings = [quoted]
        else:
            unended = quoted.partition(";")[0] if rest is None else quoted + rest
            readings = [_ESCAPED.sub(r"\1", quoted), quoted, unended]
        for value in dict.fromkeys(readings):
            yield name.lower(), value


def _readings(sections: Sequence[_Section]) -> Iterator[bytes]:
    """All sections; the last of those with the same number; those before the first gap."""
    firsts = dict(reversed(sections))
    numbers = itertools.takewhile(firsts.__contains__, itertools.count(min(firsts)))
    for found in (firsts, dict(sections), {number: firsts[number] for number in numbers}):
        yield _joined(found)
    if any(extended for extended, _value in firsts.values()):  # for those who decode at the end
        together = "".join(value for _number, (_extended, value) in sorted(firsts.items()))
        yield _joined({0: (True, together)})


def _joined(sections: dict[int, tuple[bool, str]]) -> bytes:
    """The sections of a parameter put together (RFC 2231 sections 3 and 4), in UTF-8."""
    charset, octets = "", b""
    for place, (_number, (extended, value)) in enumerate(sorted(sections.items())):
        if extended and not place and value.count("'") >= 2:
            charset, _language, value = value.split("'", 2)
        octets += unquote_to_bytes(value.encode("latin-1")) if extended else value.encode("latin-1")
    return (
        octets.decode(codec(charset), "replace").encode("utf-8", "replace") if charset else octets
    )


def _without_comments(text: str) -> str:
    """The text without comments (RFC 5322 section 3.2.2), those that never end included."""
    kept, depth, quoted, escaped = [], 0, False, False
    for letter in text:
        if escaped or letter == "\\":
            escaped = not escaped
        elif letter == '"' and not depth:
            quoted = not quoted
        elif letter == "(" and not quoted:
            depth += 1
        elif letter == ")" and depth:
            depth -= 1
            continue
        if not depth:
            kept.append(letter)
    return "".join(kept)
