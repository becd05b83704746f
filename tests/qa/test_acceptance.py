"""docs/acceptance.toml: what is promised is held by tests that there are, on the level it says."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.golden.cases import FOLDER
from tests.qa.source import tree

STATES = ("open", "built", "proven")
LEVELS = {
    "unit": ("tests/unit/", "tests/mailsort/", "tests/qa/", "tests/fuzz/"),
    "golden": ("tests/golden/",),
    "integration": ("tests/integration/", "tests/system/"),
    "system": ("tests/system/",),
}
ROWS: list[dict[str, Any]] = tomllib.loads((ROOT / "docs/acceptance.toml").read_text())["row"]


def test_rows_have_names_of_their_own() -> None:
    """A row is spoken of by its id."""
    names = [row["id"] for row in ROWS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["id"]))
def test_row(row: dict[str, Any]) -> None:
    """Its words are there, its tests are known, and one of them is on its level."""
    assert set(row) == {"id", "words", "level", "state", "tests"}
    assert row["words"]
    assert row["state"] in STATES
    if row["state"] == "open":
        return
    assert row["tests"], "what is built has a test"
    unknown = [test for test in row["tests"] if not known(test)]
    assert not unknown
    folders = LEVELS[row["level"]]
    assert any(test.startswith(folders) for test in row["tests"]), f"no test below {folders}"


def known(test: str) -> bool:
    """Whether there is such a test; of golden scripts the case is looked for, too."""
    file, *names = test.split("::")
    path = ROOT / file
    if not path.is_file():
        return False
    last, bracket, parameter = names[-1].partition("[")
    case = parameter.removesuffix("]")
    if bracket and "golden" in file and not (FOLDER / case / "script").exists():
        return False
    return _defined(path, [*names[:-1], last])


def _defined(path: Path, names: list[str]) -> bool:
    body: list[ast.stmt] = tree(path).body
    for name in names[:-1]:
        inside = [one for one in body if isinstance(one, ast.ClassDef) and one.name == name]
        if not inside:
            return False
        body = inside[0].body
    return any(isinstance(one, ast.FunctionDef) and one.name == names[-1] for one in body)
