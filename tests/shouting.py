"""The check of docs/writing-a-filter.md: the page's files, and the check as it is installed."""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT

PAGE = ROOT / "docs/writing-a-filter.md"


def files() -> dict[str, str]:
    """The files of the page by their names."""
    return dict(re.findall(r"`([\w.-]+)`[^`]*:\n\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL))


def commands() -> tuple[list[str], list[str]]:
    """What the page says to install it by, for a Python, and to try it by, for `iems`."""
    [block] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = block.replace("\\\n", " ").splitlines()
    [install] = [one.split() for one in lines if "pip install" in one]
    [test] = [one.split() for one in lines if one.startswith("iems try")]
    assert install[:2] == ["sudo", "/opt/iems/current/bin/python"]
    return install[2:], test[1:]


@contextmanager
def installed() -> Iterator[Path]:
    """A folder for Python to look into, in which it is; everybody can read it."""
    project = tomllib.loads(files()["pyproject.toml"])["project"]
    name, version = project["name"], project["version"]
    points = project["entry-points"]["iems.checks"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        (folder / "iems_shouting.py").write_text(files()["iems_shouting.py"])
        about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        rows = "".join(f"{point} = {module}\n" for point, module in points.items())
        (about / "entry_points.txt").write_text(f"[iems.checks]\n{rows}")
        yield folder
