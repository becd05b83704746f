"""The cache: how long it believes what, how much it holds, and what it never keeps."""

from __future__ import annotations

import pytest

from iems.directory.cache import MAX_NEGATIVE, CachedDirectory
from iems.directory.reader import DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from tests.unit.directory.counting import Counting

TEXT = """
[domains."example.test"]
[users."alice@example.test"]
[users."bob@example.test"]
[aliases]
"@example.test" = ["alice@example.test"]
"""
ALICE, BOB, NOBODY = (Address(name, "example.test") for name in ("alice", "bob", "nobody"))
SOON = Deadline.after(3600)


class World:
    """A counted directory behind a cache whose clock stands still until it is set."""

    def __init__(self, ttl: float = 60, size: int = 100) -> None:
        self.now = 0.0
        self.source = Counting(TomlDirectory.parse(TEXT))
        self.cache = CachedDirectory(self.source, ttl, size=size, clock=lambda: self.now)

    def find(self, *addresses: Address) -> set[str]:
        """The keys that are found."""
        return set(self.cache.find(addresses, SOON))


def test_asks_once() -> None:
    """Every kind of answer is kept, and the same as the source's."""
    world = World()
    for _turn in range(3):
        assert world.find(ALICE, NOBODY) == {"alice@example.test"}
        assert set(world.cache.domains(["example.test", "other.test"], SOON)) == {"example.test"}
        assert set(world.cache.find_catch_all(["example.test"], SOON)) == {"example.test"}
    assert len(world.source.asked) == 3


def test_asks_only_for_what_it_lacks() -> None:
    """In one question."""
    world = World()
    world.find(ALICE)
    assert world.find(ALICE, BOB, NOBODY) == {"alice@example.test", "bob@example.test"}
    assert world.source.asked[1:] == [["bob@example.test", "nobody@example.test"]]


def test_found_is_kept_for_its_time() -> None:
    """Until the last moment, and not beyond."""
    world = World(ttl=60)
    world.find(ALICE)
    world.now = 59.9
    world.find(ALICE)
    assert len(world.source.asked) == 1
    world.now = 60.0
    world.find(ALICE)
    assert len(world.source.asked) == 2


@pytest.mark.parametrize("ttl", [5, 60, 3600])
def test_not_found_is_kept_for_ten_seconds_at_most(ttl: float) -> None:
    """A new user need not wait long."""
    world = World(ttl=ttl)
    world.find(NOBODY)
    world.now = min(ttl, MAX_NEGATIVE) - 0.1
    world.find(NOBODY)
    assert len(world.source.asked) == 1
    world.now = min(ttl, MAX_NEGATIVE)
    world.find(NOBODY)
    assert len(world.source.asked) == 2


def test_zero_keeps_nothing() -> None:
    """For who wants every change at once."""
    world = World(ttl=0)
    world.find(ALICE)
    world.find(ALICE)
    assert len(world.source.asked) == 2


def test_failure_is_not_kept_and_nothing_is_served_beyond_its_time() -> None:
    """Down is unavailable for what is not known, and over when it is over."""
    world = World()
    world.find(ALICE)
    world.source.down = True
    assert world.find(ALICE) == {"alice@example.test"}
    with pytest.raises(DirectoryUnavailable):
        world.find(ALICE, BOB)
    world.now = 61
    with pytest.raises(DirectoryUnavailable):
        world.find(ALICE)
    world.source.down = False
    assert world.find(ALICE, BOB) == {"alice@example.test", "bob@example.test"}


def test_size_is_bounded() -> None:
    """What was not asked for longest makes room."""
    world = World(size=10)
    world.find(ALICE)
    for number in range(100):
        world.find(Address(f"nobody{number}", "example.test"))
        world.find(ALICE)
    assert len(world.source.asked) == 101
    world.find(Address("nobody0", "example.test"))
    assert len(world.source.asked) == 102
