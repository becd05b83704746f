"""Policies as text: what is written is read again, what is no policy is left out with a note."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.directory.policy import (
    MAX_SENDERS,
    MAX_VALUES,
    forbidden_by,
    policy_values,
    read_policy,
    read_senders,
    standings,
)
from iems.model.policy import SITE, WHOLE, Action, Kind, Layer, Rule, Subject, allowed

ALICE = Subject(Kind.USER, "alice@example.test")
DOMAIN = Subject(Kind.DOMAIN, "example.test")
actions = st.sampled_from(sorted(WHOLE))
sets = st.frozensets(actions, min_size=1)
checks = st.sampled_from(("iprev", "dnsbl/a", "dnsbl/*", "dnsbl/x.y-z_1"))
bands = st.sampled_from(("listed", "mismatch", "temperror"))
rules = st.builds(Rule, allow=st.none() | sets, choice=st.none() | actions).filter(
    lambda rule: rule != Rule()
)


def read(*values: bytes) -> tuple[Layer, list[str]]:
    """The layer of these values, and the notes."""
    notes: list[str] = []
    return read_policy(values, ALICE, notes.append), notes


@given(st.dictionaries(st.tuples(checks, bands), rules))
def test_written_is_read(wanted: dict[tuple[str, str], Rule]) -> None:
    """Any layer survives the way into the directory and back, in any order."""
    layer = Layer(ALICE, wanted)
    assert read(*reversed(policy_values(layer))) == (layer, [])


@given(st.lists(st.binary(max_size=60)))
def test_anything_may_stand_there(values: list[bytes]) -> None:
    """No bytes are an error, and what cannot be read is noted once each."""
    layer, notes = read(*values)
    assert len(notes) + len(policy_values(layer)) == len(values)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"dnsbl/a listed choice",
        b"dnsbl/a listed choice junk more",
        b"dnsbl/a  listed choice junk",
        b"dnsbl/a listed pick junk",
        b"dnsbl/a listed choice explode",
        b"dnsbl/a listed allow",
        b"dnsbl/a listed allow junk,",
        b"dnsbl/a listed choice junk,tag",
        b"DNSBL/a listed choice junk",
        b"dnsbl/\xff listed choice junk",
        b"dnsbl/a listed choice junk\n",
        b"dnsbl/a/b listed choice junk",
    ],
)
def test_what_is_left_out(value: bytes) -> None:
    """The other rule counts all the same."""
    layer, notes = read(value, b"iprev mismatch choice tag")
    assert layer.rules == {("iprev", "mismatch"): Rule(choice=Action.TAG)}
    assert len(notes) == 1
    assert "user alice@example.test" in notes[0]


def test_two_for_one() -> None:
    """The first in byte order counts, whatever the server's order."""
    values = [b"iprev mismatch choice tag", b"iprev mismatch choice deliver"]
    for order in (values, values[::-1]):
        layer, notes = read(*order)
        assert layer.rules == {("iprev", "mismatch"): Rule(choice=Action.DELIVER)}
        assert len(notes) == 1


def test_too_many() -> None:
    """Nobody makes us read without end."""
    layer, notes = read(*(b"dnsbl/%d listed choice junk" % number for number in range(5000)))
    assert len(layer.rules) == MAX_VALUES
    assert len(notes) == 1


@given(st.lists(sets, min_size=1, max_size=4), actions)
def test_who_forbids(allows: list[frozenset[Action]], action: Action) -> None:
    """It is the first layer that leaves the action out; nobody where it is allowed."""
    layers = [
        Layer(Subject(Kind.DOMAIN, str(number)), {("iprev", "mismatch"): Rule(allow)})
        for number, allow in enumerate(allows)
    ]
    who = forbidden_by("iprev", "mismatch", action, layers)
    assert (who is None) == (action in allowed("iprev", "mismatch", layers))
    if who is not None:
        assert action not in allowed("iprev", "mismatch", layers[: int(who.name) + 1])
        assert action in allowed("iprev", "mismatch", layers[: int(who.name)])


def test_standing_of_an_ignored_choice() -> None:
    """What was chosen before it was forbidden is shown, and that it does not count."""
    site = Layer(SITE, {("iprev", "mismatch"): Rule(frozenset({Action.TAG}), Action.TAG)})
    own = Layer(ALICE, {("iprev", "mismatch"): Rule(choice=Action.REJECT)})
    [row] = standings([site, Layer(DOMAIN), own])
    assert (row.action, row.decided_by, row.choice) == (Action.TAG, SITE, Action.REJECT)
    assert row.may == {Action.TAG}
    assert len(row.notes) == 1


def read_list(*values: bytes) -> tuple[list[str], list[str]]:
    """The entries of these values, and the notes."""
    notes: list[str] = []
    return [str(one) for one in read_senders(values, ALICE, notes.append).values()], notes


def test_a_list_of_senders_is_read_and_what_is_no_entry_left_out() -> None:
    values = (b"allow a.test", b"block \xff.test", b"block b.test ", b"BLOCK c.test", b"")
    found, notes = read_list(*values)
    assert found == ["allow a.test", "block b.test"]
    assert len(notes) == 3
    assert all("user alice@example.test" in note for note in notes)


def test_of_two_entries_for_one_pattern_the_stricter_is_read() -> None:
    assert read_list(b"allow a.test unverified", b"allow A.test")[0] == ["allow a.test"]
    assert read_list(b"allow A.test", b"block a.test", b"allow a.test")[0] == ["block a.test"]


def test_a_list_is_bounded() -> None:
    values = [b"block x%d.test" % number for number in range(MAX_SENDERS + 1)]
    found, notes = read_list(*values)
    assert len(found) == MAX_SENDERS
    assert notes == [
        f"user alice@example.test has more than {MAX_SENDERS} entries; the rest is left out"
    ]
    assert read_list(*values[1:])[1] == []


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_may_stand_in_a_list(values: list[bytes]) -> None:
    found, notes = read_list(*values)
    assert len(found) + len(notes) <= len(values)
