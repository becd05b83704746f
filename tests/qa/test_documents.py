"""The pages of the repository: there, of bounded length, and without dead links."""

from __future__ import annotations

import re
import tomllib

from tests.conftest import ROOT
from tests.qa.source import name, tracked

PAGES = [path for path in tracked() if path.suffix == ".md"]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_ARCHITECTURE = 200
"""Lines: one picture and the way of a message are read in one go."""


def test_documents() -> None:
    """What a newcomer looks for."""
    for page in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert (ROOT / page).read_text().startswith("# "), page
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) < _ARCHITECTURE
    readme = (ROOT / "README.md").read_text()
    for command in ("make mailserver", "make test"):
        assert command in readme


def test_the_changelog_knows_the_version() -> None:
    """The version has an entry, or is the one that is being made."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in (ROOT / "CHANGELOG.md").read_text()


def test_links_lead_somewhere() -> None:
    """Links into the repository."""
    dead = [
        f"{name(page)}: {target}"
        for page in PAGES
        for target in _LINK.findall(page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not dead


def test_benchmarks_say_what_was_reached() -> None:
    """Each target of a ratio stands beside what was measured, and says by how much it is missed."""
    text = (ROOT / "docs/benchmarks.md").read_text()
    assert "make bench" in text
    measured = r"^\| (\w.*) \| \d+ .* \| ([0-9.]+) \(.*\) \| ([0-9.]+)(.*) \|$"
    rows = re.findall(measured, text, re.MULTILINE)
    assert [(run, target) for run, _ratio, target, _missed in rows] == [
        ("with the milter, warm", "0.60"),
        ("with the milter, cold", "0.50"),
        ("through the agent, LMTP", "0.60"),
        ("our milter against rspamd, warm", "1.50"),
        ("with filters", "0.45"),
    ]
    for run, ratio, target, missed in rows:
        short = round(float(target) - float(ratio), 2)
        assert missed == (f", missed by {short:.2f}" if short > 0 else ""), run
