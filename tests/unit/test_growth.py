"""The verdict of the soak: what stays of every message is seen, what comes and goes is not."""

from __future__ import annotations

import random

import pytest

from bench.growth import Process, grown, halves

SAMPLES = 180
"""Half an hour."""


def process(**held: list[float]) -> Process:
    flat = {quantity: [10.0] * SAMPLES for quantity in ("KiB", "descriptors", "threads")}
    return Process("agent worker", {**flat, **held})


def test_what_comes_and_goes_is_no_growth() -> None:
    """Sessions of the load, and memory that the first minutes fill."""
    draw = random.Random(1)
    sessions: list[float] = [draw.randrange(5, 25) for _sample in range(SAMPLES)]
    caches = [30_000 + min(one, 50) * 100.0 for one in range(SAMPLES)]
    assert not list(grown(process(KiB=caches, descriptors=sessions, threads=sessions)))


@pytest.mark.parametrize("quantity", ["descriptors", "threads"])
def test_one_that_stays_of_five_hundred_messages_is_seen(quantity: str) -> None:
    """At 50 messages a second."""
    draw = random.Random(1)
    held = [one * 10 * 50 / 500 + draw.randrange(5, 25) for one in range(SAMPLES)]
    [told] = grown(process(**{quantity: held}))
    assert told.startswith("agent worker: ")
    assert told.endswith(quantity)


def test_a_hundred_bytes_that_stay_of_every_message_are_seen() -> None:
    held = [30_000 + one * 10 * 50 * 100 / 1024 for one in range(SAMPLES)]
    [told] = grown(process(KiB=held))
    assert "KiB" in told


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="1 samples"):
        halves([1.0])
