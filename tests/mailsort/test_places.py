"""The lines of values in TOML are those on which they stand, whatever strings and comments hold."""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sieve.mailsort import kinds
from sieve.mailsort.places import lines, too_much
from sieve.mailsort.rule import Mailsort
from sieve.mailsort.write import to_toml
from tests.mailsort.strategies import mailsorts

NOW = datetime.datetime(2026, 11, 27, 12)  # noqa: DTZ001 - the server's own time zone

HARD = (Path(__file__).parent / "hard.toml").read_text()
EXPECTED: dict[kinds.Path, int] = {
    ("a",): 2,
    ("b.c",): 6,
    ("b.c", "d\te"): 6,
    ("b.c", "d\te", 0): 7,
    ("b.c", "d\te", 1): 7,
    ("b.c", "d\te", 2): 7,
    ("b.c", "d\te", 2, "f"): 7,
    ("b.c", "d\te", 2, "f", "g"): 7,
    ("b.c", "d\te", 2, "h"): 7,
    ("b.c", "d\te", 2, "h", 0): 8,
    ("b.c", "d\te", 3): 10,
    ("r",): 12,
    ("r", 0): 12,
    ("r", 0, "n"): 13,
    ("r", 0, "s"): 15,
    ("r", 0, "s", "t"): 16,
    ("r", 0, "s", "t", "u"): 16,
    ("r", 1): 17,
    ("r", 1, "s"): 18,
    ("r", 1, "s", 0): 18,
    ("r", 1, "s", 0, "v"): 19,
}


def _paths(value: object, path: kinds.Path = ()) -> Iterator[kinds.Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _paths(one, (*path, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _paths(one, (*path, at))


def test_lines() -> None:
    paths = list(_paths(tomllib.loads(HARD)))
    assert lines(HARD, paths) == EXPECTED
    assert set(paths) == set(EXPECTED)


def test_only_what_is_wanted_is_looked_for() -> None:
    wanted = ("r", 1, "s", 0, "v")
    into = [wanted[:end] for end in range(1, 6)]
    assert lines(HARD, [wanted]) == {path: EXPECTED[path] for path in into}


@settings(max_examples=50)
@given(mailsorts(NOW))
def test_every_value_has_a_line(mailsort: Mailsort) -> None:
    text = to_toml(mailsort)
    assert too_much(text) is None
    paths = list(_paths(tomllib.loads(text)))
    assert set(lines(text, paths)) == set(paths)


_KEYS = st.sampled_from(["a", "b-c", "1", "d e", '"', "'", "#", "é", "[", "= "])
_TEXTS = st.text(st.sampled_from("a\"'\\#[]{}=,.\n \u00e9"), max_size=12)
_VALUES = st.recursive(
    _TEXTS | st.integers() | st.booleans() | st.just(1.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_a_line_is_where_its_value_begins(table: dict[str, object]) -> None:
    """Each key of the top stands on the line where it was put."""
    expected: dict[kinds.Path, int] = {}
    text = ""
    for key, value in table.items():
        expected[(key,)] = text.count("\n") + 1
        text += f"{json.dumps(key)} = {_written(value)} # ' \"\n\n"
    assert tomllib.loads(text) == table
    paths = list(_paths(table))
    found = lines(text, paths)
    assert set(found) == set(paths)
    assert {path: found[path] for path in expected} == expected


def _written(value: object) -> str:
    """TOML of any value, its strings in several lines where they can be."""
    match value:
        case str() if "\n" in value:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"""\n{escaped}"""'
        case list():
            return "\n".join(["[", *(f"{_written(one)}," for one in value), "]"])
        case dict():
            pairs = (f"{json.dumps(key)} = {_written(one)}" for key, one in value.items())
            return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)
