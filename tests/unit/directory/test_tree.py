"""Entries of the tree as values: what makes no sense in one is left out with a note."""

from __future__ import annotations

import pytest

from iems.directory.reader import user_of
from iems.directory.store import Row
from iems.directory.tree import domain_entry, domain_values, read_entries, user_entry, user_values
from iems.model.address import Address

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
