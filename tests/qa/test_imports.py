"""The contracts of pyproject.toml about who may import whom."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from tests.qa.source import PACKAGES

_CALL = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"


def test_contracts() -> None:
    """import-linter keeps all of them."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {_CALL}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_under_the_contracts_and_in_the_distribution() -> None:
    """A package that nobody names would be neither checked nor installed."""
    named = (ROOT / "setup.py").read_text()
    for package in PACKAGES:
        for folder in (ROOT / package).rglob("__init__.py"):
            dotted = ".".join(folder.parent.relative_to(ROOT).parts)
            assert f'"{dotted}"' in named, f"setup.py does not name {dotted}"
