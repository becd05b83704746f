"""Messages without their attachments, against the recorded bytes; `make golden` records anew."""

from __future__ import annotations

import email
import math
import tomllib
from pathlib import Path

import pytest

from iems.edits.edit import Edit
from iems.edits.rules import Rule
from iems.edits.strip import Removal, strip
from iems.mime.tree import parse

FOLDER = Path(__file__).parent / "edit" / "strip"
CASES = sorted(path.name for path in FOLDER.iterdir())
_ONE_LESS = {"a-message-by-its-name": 3}
"""Parts that go with the one that holds them."""


def removal(folder: Path) -> Removal:
    rules = tomllib.loads((folder / "rules.toml").read_text())
    return Removal(tuple(Rule.of(label, table) for label, table in rules.items()))


def record(folder: Path, data: bytes, edit: Edit) -> None:
    for name in ("rejected", "expected"):
        (folder / name).unlink(missing_ok=True)
    name, told = (
        ("rejected", f"{edit.reason}\n".encode()) if edit.rejected else ("expected", edit.of(data))
    )
    (folder / name).write_bytes(told)


@pytest.mark.parametrize("case", CASES)
def test_strip(case: str, request: pytest.FixtureRequest) -> None:
    """The bytes are the expected ones, a second time changes nothing, and Python reads them."""
    folder = FOLDER / case
    data, wanted = (folder / "message").read_bytes(), removal(folder)
    edit = strip(data, wanted, math.inf)
    if request.config.getoption("--record"):
        record(folder, data, edit)
    if (folder / "rejected").exists():
        assert edit.rejected
        assert not edit.splices
        assert edit.reason == (folder / "rejected").read_text().rstrip("\n")
        return
    made = edit.of(data)
    assert made == (folder / "expected").read_bytes()
    assert not edit.rejected
    assert strip(made, wanted, math.inf).of(made) is made
    before, after = ([*email.message_from_bytes(one).walk()] for one in (data, made))
    assert len(after) == len(before) - _ONE_LESS.get(case, 0)
    assert not any(one.defects for one in after) or any(one.defects for one in before)


@pytest.mark.parametrize("case", CASES)
def test_what_is_outside_of_a_splice_stays(case: str) -> None:
    """All parts but those that go are the same bytes."""
    folder = FOLDER / case
    data = (folder / "message").read_bytes()
    edit = strip(data, removal(folder), math.inf)
    made = edit.of(data)
    for part in parse(data).walk():
        if not part.parts and not any(
            one.start < part.end and part.start < one.end for one in edit.splices
        ):
            assert data[part.start : part.end] in made
