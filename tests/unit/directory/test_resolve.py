"""Where addresses lead, in few searches; the order itself is compared with a real Postfix."""

from __future__ import annotations

import pytest

from iems.directory.resolve import UnreasonableAlias, resolve
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from tests.unit.directory.counting import Counting


def directory(*aliases: str, users: int = 3) -> Counting:
    """Users u0, u1, ... of example.test, and these lines of aliases."""
    people = "\n".join(f'[users."u{number}@example.test"]' for number in range(users))
    return Counting(
        TomlDirectory.parse("\n".join(['[domains."example.test"]', people, "[aliases]", *aliases]))
    )


def ends(counting: Counting, address: str) -> set[str]:
    """The final addresses."""
    found = resolve(counting, Address.parse(address), Deadline.after(5))
    return {str(one.address) for one in found}


def test_user_costs_one_search() -> None:
    """The most frequent question of all."""
    counting = directory()
    assert ends(counting, "u1+x@example.test") == {"u1+x@example.test"}
    assert counting.asked == [["u1+x@example.test", "u1@example.test"]]


def test_searches_do_not_grow_with_targets() -> None:
    """One round a depth: the alias, its targets; here with none in between."""
    targets = [f"u{number}@example.test" for number in range(500)]
    counting = directory(f'"all@example.test" = {targets}', users=500)
    assert ends(counting, "all@example.test") == set(targets)
    assert len(counting.asked) == 2


def test_unknown_costs_three_searches() -> None:
    """The address, the catch-all, the domain."""
    counting = directory()
    assert ends(counting, "nobody@example.test") == set()
    assert counting.asked == [["nobody@example.test"], ["@example.test"], ["example.test"]]


def test_extension_goes_to_every_target() -> None:
    """But not where the alias was found by the whole address, nor through a catch-all."""
    counting = directory(
        '"a@example.test" = ["u0@example.test", "far@example.net"]',
        '"a+exact@example.test" = ["u1@example.test"]',
        '"@example.test" = ["u2@example.test"]',
    )
    assert ends(counting, "a+x@example.test") == {"u0+x@example.test", "far+x@example.net"}
    assert ends(counting, "a+exact@example.test") == {"u1@example.test"}
    assert ends(counting, "none+x@example.test") == {"u2@example.test"}


@pytest.mark.parametrize(
    "aliases",
    [
        ['"a@example.test" = ["b@example.test"]', '"b@example.test" = ["a@example.test"]'],
        ['"a@example.test" = ["a+x@example.test"]'],
        ['"a@example.test" = ["u0@example.test", "a+x@example.test"]'],
        [
            '"a@example.test" = ["u0@example.test", "b@example.test"]',
            '"b@example.test" = ["a@example.test", "u1@example.test"]',
        ],
        [f'"a@example.test" = {[f"u{number}@example.test" for number in range(1001)]}'],
    ],
)
def test_unreasonable(aliases: list[str]) -> None:
    """Circles, growth and crowds end, and are a temporary failure."""
    with pytest.raises(UnreasonableAlias):
        ends(directory(*aliases), "a@example.test")


def test_into_itself() -> None:
    """Such an address is final there, and the rest goes on."""
    counting = directory(
        '"u0@example.test" = ["u0@example.test", "a@example.test"]',
        '"a@example.test" = ["u1@example.test", "u0@example.test"]',
    )
    assert ends(counting, "u0@example.test") == {"u0@example.test", "u1@example.test"}


def test_same_address_once() -> None:
    """Two ways to one mailbox, in whatever case, are one destination."""
    counting = directory('"a@example.test" = ["u0@example.test", "U0@example.test"]')
    found = resolve(counting, Address.parse("a@example.test"), Deadline.after(5))
    assert {one.address.key for one in found} == {"u0@example.test"}
    assert len(found) == 1
