"""The wheel that a server installs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.conftest import ROOT
from tests.qa.source import PACKAGES, tracked


def test_the_wheel_holds_our_packages_and_nothing_else(tmp_path: Path) -> None:
    """Every file of our packages that git knows, the metadata, and no test."""
    build = ROOT / "scripts/build-wheel"
    subprocess.run([build, sys.executable, tmp_path], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("iems-*.whl")
    held = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if ".dist-info/" not in name and not name.endswith("/")
    }
    ours = {
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.relative_to(ROOT).parts[0] in PACKAGES
    }
    assert held == ours
