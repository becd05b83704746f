"""Files that `iems-sieve` is given: read up to a bound."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from sieve.commands import rules
from sieve.main import Failure


def test_of_what_has_no_end_no_more_is_read_than_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "_MOST", 10)
    stdin = io.BytesIO(bytes(99))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stdin))
    (tmp_path / "long").write_bytes(bytes(11))
    (tmp_path / "short").write_bytes(bytes(10))
    for name in ("-", str(tmp_path / "long")):
        with pytest.raises(Failure, match="more than"):
            rules.content(name)
    assert stdin.tell() <= 11
    assert rules.content(str(tmp_path / "short")) == bytes(10)
