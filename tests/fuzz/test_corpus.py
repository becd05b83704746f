"""What the fuzzer is fed with, and what it found, breaks no law; nor do bytes that are drawn."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import bounds
from tests.fuzz.bounds import SPARE, within
from tests.fuzz.targets import CORPUS, EDITOR, TARGETS
from tests.qa.source import PACKAGES

SEEDS = sorted(path for path in CORPUS.rglob("*") if path.is_file())
_MOST = 8192
"""Bytes of one seed: what is larger is no seed but a message."""


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_replay(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


@pytest.mark.parametrize("name", EDITOR)
def test_what_a_message_may_cost(name: str) -> None:
    for seed in (CORPUS / name).iterdir():
        within(TARGETS[name], EDITOR[name])(seed.read_bytes())


def test_what_costs_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []
    within(lambda data: kept.append(data * 10), 0)(bytes(1000))
    with pytest.raises(AssertionError, match="bytes of memory"):
        within(lambda data: kept.append(data * 30), 0)(bytes(1000))
    monkeypatch.setattr(bounds, "SECONDS", 0.0)
    with pytest.raises(AssertionError, match="s of processor time"):
        within(kept.append, SPARE)(b"")


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    seeds = [seed.read_bytes() for seed in SEEDS if seed.parent.name == name]
    pieces = st.sampled_from(seeds).flatmap(_damaged) | st.binary(max_size=200)

    @settings(max_examples=100, deadline=2000)
    @given(pieces)
    def law(data: bytes) -> None:
        TARGETS[name](data)

    law()


@st.composite
def _damaged(draw: st.DrawFn, seed: bytes) -> bytes:
    """A seed with some of it replaced, left out or doubled."""
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(seed))] * 2)))
        new = draw(st.sampled_from([b"", seed[start:end] * 2]) | st.binary(max_size=20))
        seed = seed[:start] + new + seed[end:]
    return seed


def test_every_target_has_small_seeds() -> None:
    assert {seed.parent.name for seed in SEEDS} == set(TARGETS)
    assert not [seed.name for seed in SEEDS if seed.stat().st_size > _MOST]


def test_the_fuzzer_sees_the_branches_of_all_packages_that_read() -> None:
    worker = (Path(__file__).parent / "worker.py").read_text()
    (instrumented,) = re.findall(r"^INSTRUMENTED = (.*)$", worker, re.MULTILINE)
    assert set(PACKAGES) - {"cli"} <= set(ast.literal_eval(instrumented))
