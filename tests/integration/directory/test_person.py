"""What is known of a person: the same from a real slapd, as each daemon reads it, and from TOML."""

from __future__ import annotations

import pytest

from iems.directory.person import NOBODY
from iems.directory.reader import Directory, user_of
from iems.directory.toml import TomlDirectory
from iems.directory.tree import TreeDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.stack.slapd import Slapd

DOMAIN = "person.test"
ALICE = Address.parse(f"alice@{DOMAIN}")
LINES = (
    *("givenName: Alice", "title:  Head ", "ou: Sales", "o: Example", "telephoneNumber: +49 1"),
    *("mobile: 1", "mobile: 2", "street: Main Street 1", "postalCode: 12345", "l: Köln"),
)
TEXT = f"""
[domains."{DOMAIN}"]
[users."{ALICE}".person]
name = "Alice Ä."
surname = "alice"
given_name = "Alice"
title = " Head"
department = "Sales"
organisation = "Example"
phone = "+49 1"
mobile = "1"
street = "Main Street 1"
postal_code = "12345"
place = "Köln"
"""


@pytest.fixture(scope="module")
def populated(server: Slapd) -> Slapd:
    """A user of whom all is known."""
    user = tree.user(str(ALICE), *LINES).replace("cn: alice", "cn: Alice Ä.")
    server.add(tree.domain(DOMAIN) + user)
    return server


@pytest.mark.parametrize("kind", ["milter", "agent", "toml"])
def test_what_is_known_of_a_person(populated: Slapd, kind: str) -> None:
    """One line each; of several values the first."""
    directory: Directory = TomlDirectory.parse(TEXT)
    if kind != "toml":
        directory = TreeDirectory(tree.store(populated, kind), 5.0, lambda _note: None)
    user = user_of(directory.find([ALICE], Deadline.after(5))[ALICE.key])
    assert user is not None
    assert user.person == {
        "name": "Alice Ä.",
        "surname": "alice",
        "given_name": "Alice",
        "title": "Head",
        "department": "Sales",
        "organisation": "Example",
        "phone": "+49 1",
        "mobile": "1",
        "street": "Main Street 1",
        "postal_code": "12345",
        "place": "Köln",
        "mail": str(ALICE),
    }
    assert user.person.keys() == NOBODY.keys()
