"""docs/migration-table.md: whatever its right column names, there is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from cli.main import build_parser
from iems.model.policy import Action
from iems.settings.policy import BANDS
from tests.conftest import ROOT

PAGE = (ROOT / "docs/migration-table.md").read_text()
SETTINGS = (ROOT / "docs/settings.md").read_text()
PLAYBOOK = (ROOT / "ansible/group_vars/all.yml").read_text()
CELLS = re.findall(r"^\| .* \| (.*) \|$", PAGE, re.MULTILINE)


def quoted(pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    """What stands in backticks and fits whole, with the cell around it."""
    for cell in CELLS:
        for text in re.findall(r"`([^`]+)`", cell.replace("\\|", "|")):
            if found := re.fullmatch(pattern, text):
                yield cell, found


def test_every_row_is_read() -> None:
    assert len(CELLS) > 40
    assert len(CELLS) == len(re.findall(r"^\|", PAGE, re.MULTILINE))


def test_checks_bands_and_actions() -> None:
    """A default is of the check that the same row names, or of content, amavisd's only one."""
    names = [found[1].split(".")[0] for _cell, found in quoted(r"\[checks\.(.*)\]")]
    assert set(names) >= {"content", "dnsbl", "helo", "spf"}
    assert set(names) <= BANDS.keys()
    defaults = list(quoted(r"default = \{.*\}"))
    assert len(defaults) > 8
    for cell, found in defaults:
        named = re.search(r"\[checks\.(\w+)", cell)
        bands = BANDS[named[1] if named else "content"]
        for band, word in tomllib.loads(found[0])["default"].items():
            assert band in bands
            Action.parse(word)


@pytest.mark.parametrize("text", sorted({found[0] for _cell, found in quoted("iems .*")}))
def test_commands(text: str) -> None:
    known = {"ID": "rybWJmZyK3Fa", "PATTERN": "c.test", "ACTION": "tag", "CHECK": "spf:fail"}
    for whom in ("a@b.test", "b.test") if "DOMAIN" in text else ("a@b.test",):
        names = {**known, "USER": whom, "USER|DOMAIN": whom}
        words = [names.get(word, word) for word in text.split()[1:]]
        assert (ROOT / f"cli/{words[0]}.py").is_file()
        if len(words) > 2:
            asked = build_parser(words).parse_args(words)
            if words[0] == "policy":
                check, _colon, band = asked.check.partition(":")
                assert band in BANDS[check]


def test_settings_and_switches() -> None:
    """Names of options, and what the playbook is told."""
    options = {found[0] for _cell, found in quoted(r"[a-z]+(_[a-z]+)+")}
    switches = {"refuse_nameless_clients", "verify_senders"}
    assert switches < options
    for name in options - switches:
        assert re.search(rf"\b{name}\b", SETTINGS), name
    for name in switches:
        assert re.search(rf"^{name}:", PLAYBOOK, re.MULTILINE), name
