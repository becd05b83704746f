"""Laws of the removal of attachments."""

from __future__ import annotations

import math

from iems.edits.rules import Rule
from iems.edits.strip import Removal, strip

_REMOVAL = Removal(
    (
        Rule.of("names", {"name": ["*.exe"]}),
        Rule.of("contents", {"content": ["executable", "script"], "larger": 10}),
    )
)


def stripped(data: bytes) -> None:
    """A message is edited or rejected, and what was edited has nothing left for any reader."""
    edit = strip(data, _REMOVAL, math.inf)
    made = edit.of(data)
    assert not (edit.rejected and edit.splices)
    again = strip(made, _REMOVAL, math.inf)
    assert again.rejected == edit.rejected
    assert not again.splices
