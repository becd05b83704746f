"""Entries of the tree as values: what makes no sense in one is left out with a note."""

from __future__ import annotations

import pytest

from iems.directory.reader import user_of
from iems.directory.store import Row
from iems.directory.tree import domain_entry, domain_values, read_entries, user_entry, user_values
from iems.model.address import Address
from iems.model.senders import MAX_TOLD

ALICE = Address.parse("alice@example.test")


@pytest.mark.parametrize("value", [b"TRUE", b"FALSE", None])
def test_whether_a_script_asks_what_was_found(value: bytes | None) -> None:
    more = {} if value is None else {"iemsMailsortFacts": [value]}
    rows = [
        Row(domain_entry("example.test"), domain_values("example.test")),
        Row(user_entry(ALICE), {**user_values(ALICE), **more}),
    ]
    user = user_of(read_entries(rows, lambda _note: None)[ALICE.key])
    assert user is not None
    assert user.facts == (value == b"TRUE")


@pytest.mark.parametrize(
    ("value", "text", "notes"),
    [
        (b"bad.example I have left.", "I have left.", 0),
        (b"Bad.Example 100 % no", "100 % no", 0),
        (b"other.example No.", "", 0),
        (b"bad.example %b" % (b"x" * MAX_TOLD), "x" * MAX_TOLD, 0),
        (b"bad.example %b" % (b"x" * (MAX_TOLD + 1)), "", 1),
        (b"bad.example", "", 1),
        (b"bad.example ", "", 1),
        (b"single No.", "", 1),
        (b"bad.example No.\r\n250 2.0.0 Yes.", "", 1),
        ("bad.example Ich möchte nicht.".encode(), "", 1),
        (b"bad.example \xff", "", 1),
    ],
)
def test_what_a_refused_sender_is_told(value: bytes, text: str, notes: int) -> None:
    """Whatever it is, he is refused."""
    told: list[str] = []
    more = {"iemsMailsortRefuse": [b"bad.example"], "iemsMailsortRefuseText": [value]}
    rows = [
        Row(domain_entry("example.test"), domain_values("example.test")),
        Row(user_entry(ALICE), {**user_values(ALICE), **more}),
    ]
    user = user_of(read_entries(rows, told.append)[ALICE.key])
    assert user is not None
    [entry] = user.layer.senders.values()
    assert str(entry) == "block bad.example envelope"
    assert (entry.told, len(told)) == (text, notes)


@pytest.mark.parametrize(
    ("value", "found", "notes"),
    [
        (b"off", "off", 0),
        (b"SHADOW", "shadow", 0),
        (b"maybe", "", 1),
        (b"\xc3\xa4\n\0", "", 1),
    ],
    ids=["word", "capitals", "none", "bytes"],
)
def test_what_a_user_says_of_his_filter(value: bytes, found: str, notes: int) -> None:
    told: list[str] = []
    rows = [
        Row(domain_entry("example.test"), domain_values("example.test")),
        Row(user_entry(ALICE), {**user_values(ALICE), "iemsBayes": [value]}),
    ]
    user = user_of(read_entries(rows, told.append)[ALICE.key])
    assert user is not None
    assert user.bayes == found
    assert len(told) == notes
    assert all("is left out" in one and one.isprintable() for one in told)
