"""A release is named after what is installed: no more, no less."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

TREE = Path(__file__).parents[3]


@pytest.fixture
def name() -> Callable[[Path], str]:
    """`name(tree)` of the script."""
    script = runpy.run_path(str(TREE / "scripts/release.py"))
    return cast("Callable[[Path], str]", script["name"])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree of sources."""
    (tmp_path / "iems").mkdir()
    (tmp_path / "iems/one.py").write_text("ONE = 1\n")
    (tmp_path / "iems/notice.txt").write_text("hello\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    return tmp_path


def test_the_same_sources_have_the_same_name(name: Callable[[Path], str], tree: Path) -> None:
    first = name(tree)
    (tree / "iems/__pycache__").mkdir()
    (tree / "iems/__pycache__/one.py").write_text("left behind")
    (tree / "iems/one.py~").write_text("left behind")
    (tree / "README.txt").write_text("not installed")
    assert name(tree) == first
    assert first.startswith("1.2.3-")


@pytest.mark.parametrize("path", ["iems/one.py", "iems/two.py", "requirements.lock"])
def test_other_sources_have_another_name(
    name: Callable[[Path], str], tree: Path, path: str
) -> None:
    first = name(tree)
    (tree / path).write_text("ONE = 2\n")
    assert name(tree) != first


def test_a_renamed_file_is_another_release(name: Callable[[Path], str], tree: Path) -> None:
    first = name(tree)
    (tree / "iems/one.py").rename(tree / "iems/uno.py")
    assert name(tree) != first
