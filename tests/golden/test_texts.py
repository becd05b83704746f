"""Text insertion into each structure, against the recorded bytes; `make golden` records anew."""

from __future__ import annotations

import pytest

from iems.edits.text import insert
from tests.golden.texts import FOLDER, Case, cases


@pytest.mark.parametrize("case", cases(), ids=str)
def test_insertion(case: Case, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--record"):
        case.record(case.result)
    assert case.result == case.expected


@pytest.mark.parametrize("case", cases(), ids=str)
def test_twice_is_once(case: Case) -> None:
    once = insert(case.data, case.block)
    again = insert(once.of(case.data), case.block)
    assert again.reason == once.reason
    assert not again.splices


def test_no_recording_is_of_a_case_that_is_gone() -> None:
    recorded = {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file()}
    assert recorded == {str(case) for case in cases()}
