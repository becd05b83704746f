"""Files that are hidden, against what is recorded of each; `make golden` records anew.

A message is edited so that no reader finds the file, or it is malformed: never is it let pass.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from iems.edits.edit import Edit
from iems.edits.rules import Rule
from iems.edits.strip import Removal, strip
from tests.tricks.making import searched
from tests.tricks.names import NAMES
from tests.tricks.octets import TRICKS

RECORDED = Path(__file__).parent / "tricks.json"
_MARK = bytes(range(129, 249))
PROGRAM = b"MZ\x90\0" + bytes(56) + b"\x40\0\0\0PE\0\0" + _MARK
TEXT = b"harmless, but for its name\r\n" + _MARK


def outcome(edit: Edit) -> str:
    return edit.reason if edit.rejected else "removed" if edit.splices else "nothing is found"


def recorded(case: str, edit: Edit, request: pytest.FixtureRequest) -> str:
    """What is to come of it."""
    told: dict[str, str] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    if request.config.getoption("--record"):
        told[case] = outcome(edit)
        RECORDED.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    return told[case]


@pytest.mark.parametrize("case", TRICKS)
def test_octets(case: str, request: pytest.FixtureRequest) -> None:
    data = TRICKS[case](PROGRAM)
    assert any(_MARK[40:80] in octets for octets in searched(data))
    removal = Removal((Rule.of("programs", {"content": ["executable"]}),))
    edit = strip(data, removal, math.inf)
    assert outcome(edit) == recorded(case, edit, request)
    assert edit.rejected or edit.splices
    left = edit.of(data)
    assert edit.rejected or not any(_MARK[40:80] in octets for octets in searched(left))


@pytest.mark.parametrize("case", NAMES)
def test_names(case: str, request: pytest.FixtureRequest) -> None:
    data = NAMES[case](TEXT)
    edit = strip(data, Removal((Rule.of("names", {"extension": ["exe"]}),)), math.inf)
    assert outcome(edit) == recorded(f"name: {case}", edit, request)
    assert edit.splices
    assert not any(_MARK[40:80] in octets for octets in searched(edit.of(data)))
