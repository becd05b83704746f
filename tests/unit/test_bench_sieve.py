"""The benchmark of rules with one round: both scripts do the same, and each figure is there."""

from __future__ import annotations

import pytest

from bench import sieve


def test_rules_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "_NUMBERS", (8,))
    monkeypatch.setattr(sieve, "_MOST", 9)
    monkeypatch.setattr(sieve, "_MESSAGES", 20)
    rows = [line.split(" | ") for line in sieve.measure(1, 0).splitlines() if line[:3] == "| 8"]
    assert [len(row) for row in rows] == [2, 5, 5]
    assert [row[1] for row in rows[1:]] == ["compiled", "by hand"]
