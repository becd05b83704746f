"""Rules of other programs, against what is recorded of their import; `make golden` records anew.

A case is a file of the program's rules, `NAME.rules`, in the folder of its importer; beside it
stands `NAME.txt`: the rules it came to, one a line or two, and the remarks.
"""

from __future__ import annotations

import importlib
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest

from sieve.importing.imported import Imported
from sieve.mailsort.rule import Action, Condition, Group

FOLDER = Path(__file__).parent / "importing"
CASES = sorted(FOLDER.rglob("*.rules"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_import(case: Path, request: pytest.FixtureRequest) -> None:
    imported = importlib.import_module(f"sieve.importing.{case.parent.name}").read(
        case.read_bytes()
    )
    recorded = case.with_suffix(".txt")
    if request.config.getoption("--record"):
        recorded.write_text(shown(imported))
    assert shown(imported) == recorded.read_text()


def test_no_recording_is_of_a_case_that_is_gone() -> None:
    kept = set(FOLDER.rglob("*.txt"))
    assert kept == {case.with_suffix(".txt") for case in CASES}


def shown(imported: Imported) -> str:
    """The rules and remarks as text."""
    lines = []
    for rule in imported.mailsort.rules:
        lines.append(f"{'' if rule.enabled else 'DISABLED '}{rule.name}")
        lines += [f"    {one}" for one in _condition(rule.condition)]
        lines.append(f"    -> {', '.join(map(_words, rule.actions))}")
    return "\n".join([*lines, "", *map(str, imported.remarks), ""])


def _condition(condition: Condition | None) -> list[str]:
    if condition is None:
        return ["always"]
    if isinstance(condition, Group):
        inner = [f"  {line}" for one in condition.of for line in _condition(one)]
        return [f"{condition.quantity.value}:", *inner]
    return [_words(condition)]


def _words(one: Condition | Action) -> str:
    values = [getattr(one, each.name) for each in fields(one)]
    return " ".join([type(one).__name__, *map(_value, values)])


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Enum):
        return str(value.value)
    return repr(value)
