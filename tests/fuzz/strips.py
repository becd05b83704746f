"""Laws of the removal of attachments."""

from __future__ import annotations

import math

from iems.edits.inventory import inventory
from iems.edits.rules import Rule
from iems.edits.strip import Removal, strip

_REMOVAL = Removal(
    (
        Rule.of("names", {"name": ["*.exe"]}),
        Rule.of("contents", {"content": ["executable", "script"], "larger": 10}),
    )
)


def stripped(data: bytes) -> None:
    """A message is edited or rejected, and what was edited has nothing left for any reader.

    What a removal is about is found by who only looks, and what he finds is removed or rejected.
    """
    edit = strip(data, _REMOVAL, math.inf)
    there = inventory(data, math.inf)
    matched = any(
        rule.matches(file, one.declared)
        for one in there.found
        for file in one.files
        for rule in _REMOVAL.rules
    )
    assert matched or not edit.splices
    assert edit.splices or edit.rejected or not matched
    assert matched or there.malformed or not edit.rejected
    made = edit.of(data)
    assert not (edit.rejected and edit.splices)
    again = strip(made, _REMOVAL, math.inf)
    assert again.rejected == edit.rejected
    assert not again.splices
