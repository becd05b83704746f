"""Each script through the chain alone, against its recorded transcript.

`make golden` records anew. The same scripts through the running milter and through a real Postfix
stand in `tests/integration/test_golden_milter.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.cases import Case, cases, through_chain


@pytest.mark.parametrize("case", cases(), ids=str)
def test_script(case: Case, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    transcript = through_chain(case, tmp_path)
    if request.config.getoption("--record"):
        case.record(transcript)
    assert transcript == case.expected


@pytest.mark.parametrize("case", [one for one in cases() if str(one) == "xclient"], ids=str)
def test_another_client_may_be_told_to_the_same_chain(case: Case, tmp_path: Path) -> None:
    """Postfix opens a new connection for him, and so no chain hears of a second one from it."""
    assert through_chain(case, tmp_path, one_filter=True) == case.expected
