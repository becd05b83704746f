"""What all counters do, whatever keeps them; inherited by the tests of each.

Times are long: a server forgets by its own clock, which goes on while the one of a test stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.serve.deadline import Deadline
from iems.store.counters import MOST, Claim, Counters, Held

LONG = 60.0
"""Seconds for what takes milliseconds, on a machine that is busy."""


class Clock:
    """Seconds of the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


Store = Callable[[Clock], AbstractContextManager[Counters]]
"""New counters with nothing in them, by this clock."""


def soon() -> Deadline:
    return Deadline.after(LONG)


class CountersContract:
    """A subclass stands beside a fixture `store` of the scope of the module."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def counters(self, store: Store, clock: Clock) -> Iterator[Counters]:
        with store(clock) as counters:
            yield counters

    def test_what_was_counted_is_over_with_its_window(
        self, counters: Counters, clock: Clock
    ) -> None:
        assert counters.add("a", 2, 60.0, soon()) == 2
        clock.now += 30
        assert counters.add("a", 1, 60.0, soon()) == 3
        assert counters.add("b", 5, 60.0, soon()) == 5
        assert counters.add("a", 7, 600.0, soon()) == 7, "another window of the same key"
        clock.now += 29.9
        assert counters.peek("a", 60.0, soon()) == 3
        clock.now += 6.1
        assert counters.peek("a", 60.0, soon()) == 1
        clock.now += 30
        assert counters.peek("a", 60.0, soon()) == 0
        assert counters.peek("a", 600.0, soon()) == 7
        assert counters.peek("unknown", 60.0, soon()) == 0
        assert counters.add("whole", 1, 60, soon()) == 1
        assert counters.peek("whole", 60.0, soon()) == 1, "the same window, however it is written"

    def test_claims_are_counted_together_or_not_at_all(
        self, counters: Counters, clock: Clock
    ) -> None:
        many, few = Claim("many", 600.0, limit=10, amount=4), Claim("few", 60.0, limit=1)
        assert counters.take([many, few], soon()) == (0.0, 0.0)
        free, wait = counters.take([many, few], soon())
        assert (free, counters.peek("many", 600.0, soon())) == (0.0, 4)
        assert 60 <= wait <= 66
        clock.now += wait - 0.1
        assert counters.take([few], soon()) > (0.0,)
        clock.now += 0.1
        assert counters.take([many, few], soon()) == (0.0, 0.0)
        assert counters.take([], soon()) == ()

    def test_as_many_claims_as_a_message_may_have_recipients(self, counters: Counters) -> None:
        claims = [Claim(str(number), 600.0, limit=1) for number in range(10_000)]
        assert not any(counters.take(claims, soon()))
        assert all(counters.take(claims, soon()))

    def test_what_can_never_be_claimed_waits_for_a_whole_window(self, counters: Counters) -> None:
        assert counters.take([Claim("a", 60.0, limit=3, amount=4)], soon()) == (60.0,)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0, 40_000), st.integers(1, 4)), max_size=40),
        st.integers(1, 8),
        st.floats(500, 50_000),
    )
    def test_no_window_has_more_than_its_limit(
        self, store: Store, steps: list[tuple[float, int]], limit: int, window: float
    ) -> None:
        """Against a list of all times: what is told is never less, nor older than by a tenth."""
        clock, taken = Clock(), list[tuple[float, int]]()
        with store(clock) as counters:
            for pause, amount in steps:
                clock.now += pause
                told = counters.peek("a", window, soon())
                since = sum(n for at, n in taken if at > clock.now - window * 0.999)
                assert since <= told
                assert told <= sum(n for at, n in taken if at > clock.now - window * 1.101)
                [wait] = counters.take([Claim("a", window, limit, amount)], soon())
                assert (wait == 0) == (told + amount <= limit)
                if wait == 0:
                    taken.append((clock.now, amount))
                elif amount <= limit:
                    clock.now += wait + 1e-3
                    assert counters.take([Claim("a", window, limit, amount)], soon()) == (0.0,)
                    taken.append((clock.now, amount))

    @pytest.mark.parametrize("back", [3600, 60, 30, 6])
    def test_a_clock_that_is_set_forgets_and_blocks_nobody(
        self, counters: Counters, clock: Clock, back: int
    ) -> None:
        counters.add("a", 3, 60.0, soon())
        clock.now -= back
        assert counters.take([Claim("a", 60.0, limit=3)], soon()) == (0.0,)
        assert counters.peek("a", 60.0, soon()) == 1

    def test_no_name_is_too_strange_and_no_amount_too_large(self, counters: Counters) -> None:
        for key in ("", "\udcff\ud800", "ä" * 10_000):
            assert counters.add(key, 1, 60.0, soon()) == 1
        counters.add("a", 1 << 80, 60.0, soon())
        assert counters.add("a", 1 << 80, 60.0, soon()) == MOST
        assert counters.add("a", -(1 << 80), 60.0, soon()) == 0

    def test_an_account_is_held_once_and_told_of_once(
        self, counters: Counters, clock: Clock
    ) -> None:
        assert counters.hold("bob", "too many", soon())
        clock.now += 5
        assert not counters.hold("bob", "far too many", soon())
        assert counters.hold("alice\udcff", "also", soon())
        assert counters.is_held("bob", soon())
        assert counters.is_held("alice\udcff", soon())
        assert not counters.is_held("carol", soon())
        bob, alice = counters.held(soon())
        assert bob == Held("bob", clock.now - 5, "too many", told=False)
        counters.tell(bob, soon())
        assert [one.told for one in counters.held(soon())] == [True, False]
        assert counters.release("bob", [], soon())
        assert not counters.release("bob", [], soon())
        assert counters.held(soon()) == [alice]
        clock.now += 5
        counters.hold("bob", "again", soon())
        counters.tell(bob, soon())
        assert [one.told for one in counters.held(soon())] == [False, False], "it is another hold"

    def test_a_release_forgets_counts(self, counters: Counters) -> None:
        for key, window in (("a", 60.0), ("a", 600.0), ("b", 60.0)):
            counters.add(key, 3, window, soon())
        counters.release("bob", ["a"], soon())
        assert counters.peek("a", 60.0, soon()) == counters.peek("a", 600.0, soon()) == 0
        assert counters.peek("b", 60.0, soon()) == 3
