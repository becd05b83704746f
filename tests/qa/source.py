"""The repository's own files, read for the tests beside this module."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

PACKAGES = ("iems", "milters", "lmtp", "sieve", "cli")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git knows, as it stands in the working tree."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file())


@cache
def modules(*folders: str) -> tuple[Path, ...]:
    """Every module below these folders of the repository."""
    return tuple(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    """A module's syntax."""
    return ast.parse(path.read_text(), filename=str(path))


def name(path: Path) -> str:
    """A file's name as messages show it."""
    return str(path.relative_to(ROOT))
