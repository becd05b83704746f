"""The check and the edit of docs/writing-a-filter.md: the page's files, and both as installed."""

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


def turned_on(name: str) -> str:
    """What the page says to write into this file of `conf.d`."""
    [text] = re.findall(rf"conf\.d/{name}`:\n\n```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(text)


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
    groups = project["entry-points"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        for file, text in files().items():
            if file.endswith(".py"):
                (folder / file).write_text(text)
        about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        rows = (
            "\n".join((f"[{group}]", *(f"{point} = {module}" for point, module in one.items()), ""))
            for group, one in groups.items()
        )
        (about / "entry_points.txt").write_text("".join(rows))
        yield folder
