"""A check is found by one name: module, settings, page, unit test, golden case, policy."""

from __future__ import annotations

import pytest

from iems.settings.policy import AT_DELIVERY, BANDS
from tests.conftest import ROOT
from tests.golden.cases import cases


@pytest.mark.parametrize("family", BANDS)
def test_every_check_is_documented_and_tested(family: str) -> None:
    """What each must have; the golden cases are scripts for the milter."""
    page = ROOT / f"docs/checks/{family}.md"
    assert (ROOT / f"milters/checks/{family}.py").exists()
    assert (ROOT / f"tests/unit/checks/test_{family}.py").exists()
    assert page.exists()
    text = page.read_text()
    for band, default in BANDS[family].items():
        assert f"`{band}`" in text, f"{page.name} does not name the band {band}"
        assert f"`{default.word}`" in text, f"{page.name} does not name the default {default.word}"
    if family in AT_DELIVERY:
        return
    assert any(f"[checks.{family}" in case.text("settings.toml") for case in cases())
    seen = "".join(case.expected for case in cases())
    for band in BANDS[family]:
        assert any(
            line.lstrip("!= ").startswith(family) and f"band={band}" in line
            for line in seen.splitlines()
        ), f"no golden case shows {family} with band {band}"


def test_every_page_is_of_a_check() -> None:
    """A page of a check that is gone is gone, too."""
    assert {page.stem for page in (ROOT / "docs/checks").glob("*.md")} == set(BANDS)
