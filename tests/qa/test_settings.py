"""docs/settings.md is what the schema gives, and the examples in it are taken as they stand."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cli import policy_reference, reference
from iems.dns.zonefile import ZoneResolver
from iems.editing.assembly import build_edits
from iems.settings.load import from_table
from iems.settings.policy import BANDS
from milters.assembly import FAMILIES, build_checks
from milters.checks.protocol import Tools
from milters.plugins import edits
from tests import shouting
from tests.conftest import ROOT

SECTIONS = tuple(reference.sections())
TOP = SECTIONS[0]


def test_the_page_is_the_schema_s() -> None:
    assert (ROOT / "docs/settings.md").read_text() == reference.markdown(), "make docs"


def test_the_reference_of_policy_is_the_checks_own() -> None:
    assert (ROOT / "docs/policy-reference.md").read_text() == policy_reference.markdown(), (
        "make docs"
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one.title)
def test_every_example_is_taken(
    section: reference.Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each shows all keys of its table, and values that the daemons accept."""
    others = "" if section is TOP else TOP.example
    table = tomllib.loads(f"{others}\n{section.example}\n")
    with shouting.installed() as folder:
        monkeypatch.syspath_prepend(str(folder))
        settings = from_table(table)
        build_checks(Tools.within(settings, ZoneResolver(""), tmp_path))
        if section.head == "[edits.tagging.outside]":
            build_edits(settings, edits.make)
    head = section.head.strip("[]").partition("]")[0]
    shown = tomllib.loads(section.example)
    for name in re.findall(r'"[^"]*"|[^."]+', head):
        shown = shown[name.strip('"')]
    assert {key.name for key in section.keys} <= set(shown)


def test_no_key_is_without_a_word() -> None:
    for section in SECTIONS:
        assert section.keys
        for key in section.keys:
            assert key.kind, key
            assert key.meaning, key
            assert key.example not in {"", '""', "[]", "{}"}, f"{key.name} shows nothing"


def test_every_family_of_checks_has_options() -> None:
    assert set(FAMILIES) == set(BANDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_of_a_check_names_its_options(family: str) -> None:
    """They are explained there, where words beyond the reference are needed."""
    text = (ROOT / f"docs/checks/{family}.md").read_text()
    (section,) = (one for one in SECTIONS if one.title.startswith(f"`[checks.{family}"))
    for key in section.keys:
        assert f"`{key.name}`" in text, key.name
    assert "](../settings.md#" in text
