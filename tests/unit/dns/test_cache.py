"""The cache: for the time to live, bounded, and only what the zone itself said."""

from __future__ import annotations

import pytest

from iems.dns import cache
from iems.dns.resolver import Answer, Status

FOUND = Answer(Status.FOUND, ("127.0.0.2",), 60)


def test_an_answer_lives_as_long_as_it_says_and_no_longer_than_the_bound() -> None:
    now = [1000.0]
    kept = cache.Cache(clock=lambda: now[0])
    kept.put(("a.test", "A"), FOUND)
    kept.put(("b.test", "A"), Answer(Status.NXDOMAIN, (), 86400))
    now[0] += 59
    assert kept.get(("a.test", "A")) == FOUND
    assert kept.get(("a.test", "TXT")) is None
    now[0] += 1
    assert kept.get(("a.test", "A")) is None
    assert kept.get(("b.test", "A")) is not None
    now[0] += cache.LONGEST
    assert kept.get(("b.test", "A")) is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Status.SERVFAIL, (), 60),
        Answer(Status.REFUSED, (), 60),
        Answer(Status.TIMEOUT, (), 60),
        Answer(Status.NXDOMAIN),
    ],
)
def test_what_is_not_the_zone_s_word_is_not_kept(answer: Answer) -> None:
    kept = cache.Cache()
    kept.put(("a.test", "A"), answer)
    assert kept.get(("a.test", "A")) is None


def test_it_is_bounded_and_the_youngest_stay() -> None:
    kept = cache.Cache(size=10)
    for number in range(100):
        kept.put((f"{number}.test", "A"), FOUND)
    held = [number for number in range(100) if kept.get((f"{number}.test", "A"))]
    assert 10 <= len(held) <= 20
    assert held == list(range(100 - len(held), 100))


def test_a_cache_of_no_size_keeps_nothing() -> None:
    kept = cache.Cache(size=0)
    kept.put(("a.test", "A"), FOUND)
    assert kept.get(("a.test", "A")) is None


def test_what_is_large_is_not_kept() -> None:
    kept = cache.Cache()
    for number, size in enumerate((cache.LARGEST, cache.LARGEST + 1)):
        answer = Answer(Status.FOUND, ("a" * 1000, "a" * (size - 1000)), 60)
        kept.put((f"{number}.test", "TXT"), answer)
        assert (kept.get((f"{number}.test", "TXT")) is answer) == (size == cache.LARGEST)
